#include "common/base/text.h"

#include <ctype.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

size_t text_read(const char *path, char *out, size_t room)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t len = 0;

	out[0] = '\0';
	if (fd < 0)
		return 0;
	while (len < room - 1) {
		ssize_t n = read(fd, out + len, room - 1 - len);

		if (n <= 0)
			break;
		len += (size_t)n;
	}
	close(fd);
	out[len] = '\0';
	return len;
}

uint64_t text_number_after(const char *text, const char *name)
{
	const char *at = strstr(text, name);

	return at ? strtoull(at + strlen(name), NULL, 10) : 0;
}

bool text_read_number(const char *path, uint64_t *out)
{
	char text[32];

	text_read(path, text, sizeof(text));
	if (!isdigit((unsigned char)text[0]))
		return false;
	*out = strtoull(text, NULL, 10);
	return true;
}
