#include "pager/reason.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* What these mean here is more than what the C library knows. */
static const char *special(int err)
{
	switch (err) {
	case -EPIPE:
		return "connection reset by peer";
	case -EHOSTUNREACH:
		return "no such host, or no way to it";
	case -EPROTO:
		return "it does not speak the protocol of donord";
	case -ETIMEDOUT:
		return "no answer";
	default:
		return NULL;
	}
}

const char *reason_text(int err, char out[REASON_BYTES])
{
	const char *text = special(err);

	if (!text)
		text = strerrordesc_np(-err);
	if (!text) {
		snprintf(out, REASON_BYTES, "error %d", -err);
		return out;
	}
	snprintf(out, REASON_BYTES, "%s", text);
	/* "Connection refused" starts a sentence; "RPC struct is bad" starts with a name */
	if (out[0] >= 'A' && out[0] <= 'Z' && out[1] >= 'a' && out[1] <= 'z')
		out[0] = (char)(out[0] - 'A' + 'a');
	return out;
}
