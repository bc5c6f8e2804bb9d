#include "common/transport/frame.h"

#include <errno.h>

int frame_status_errno(unsigned status)
{
	static const int errors[FRAME_STATUSES] = {
		[FRAME_OK] = 0,
		[FRAME_REFUSED] = -EACCES,
		[FRAME_PROTOCOL] = -EPROTO,
		[FRAME_VERSIONS] = -EPROTONOSUPPORT,
		[FRAME_BUSY] = -EBUSY,
		[FRAME_MTU] = -EMSGSIZE,
	};

	return status < FRAME_STATUSES ? errors[status] : -EPROTO;
}

void frame_hello_encode(uint32_t magic, const struct frame_hello *hello,
			uint8_t out[FRAME_HELLO_BYTES])
{
	frame_put32(out, magic);
	frame_put16(out + 4, hello->version);
	frame_put16(out + 6, 0);
	memcpy(out + 8, hello->token, TP_TOKEN_BYTES);
}

int frame_hello_decode(uint32_t magic, const uint8_t bytes[FRAME_HELLO_BYTES],
		       struct frame_hello *out)
{
	if (frame_get32(bytes) != magic || frame_get16(bytes + 6) != 0)
		return -EPROTO;
	out->version = frame_get16(bytes + 4);
	memcpy(out->token, bytes + 8, TP_TOKEN_BYTES);
	return 0;
}

void frame_welcome_encode(uint32_t magic, enum frame_status status,
			  uint8_t out[FRAME_WELCOME_BYTES])
{
	frame_put32(out, magic);
	frame_put16(out + 4, FRAME_VERSION);
	frame_put16(out + 6, (uint16_t)status);
}

int frame_welcome_decode(uint32_t magic, const uint8_t bytes[FRAME_WELCOME_BYTES])
{
	if (frame_get32(bytes) != magic)
		return -EPROTO;
	return frame_status_errno(frame_get16(bytes + 6));
}
