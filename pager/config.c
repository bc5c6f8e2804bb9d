#include "pager/config.h"

#include "common/wire/wire.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

/* Longest line of a donor file: the longest donor, and a comment of some length. */
#define LINE_BYTES 1024

/* How much of a wrong text a message repeats: enough to find it, and the advice still fits. */
#define SHOWN 100

#define DONOR_ADVICE "write for example 10.0.0.7:7471 or unix:/run/donord.sock"

/* Fills `why` with one line, whatever the text in it contained, and returns err. */
PRINTF_LIKE(3, 4)
static int explain(char why[CONFIG_WHY_BYTES], int err, const char *fmt, ...)
{
	va_list args;
	char *c;

	va_start(args, fmt);
	vsnprintf(why, CONFIG_WHY_BYTES, fmt, args);
	va_end(args);
	for (c = why; *c; c++) {
		if ((unsigned char)*c < ' ' || *c == 0x7f)
			*c = '?';
	}
	return err;
}

/* Puts what the text was given for before an explanation that begins with the text. */
static int explain_where(char why[CONFIG_WHY_BYTES], int err, const char *where)
{
	char line[CONFIG_WHY_BYTES];

	memcpy(line, why, sizeof(line));
	return explain(why, err, "%s%s", where, line);
}

void config_init(struct config *config)
{
	memset(config, 0, sizeof(*config));
	config->transport = CONFIG_AUTO;
	config->keep_awake = true;
	config->move = true;
	config->log_level = LOG_WARN;
}

/* ---- donors ---- */

static bool has_only_text(const char *text)
{
	for (; *text; text++) {
		if ((unsigned char)*text <= ' ' || *text == 0x7f)
			return false;
	}
	return true;
}

static int donor_parse_unix(const char *path, struct config_donor *out)
{
	if (path[0] != '/' || strlen(path) >= sizeof(out->path))
		return -EINVAL;
	strcpy(out->path, path);
	return 0;
}

static int donor_parse(const char *text, struct config_donor *out)
{
	int err;

	memset(out, 0, sizeof(*out));
	if (strlen(text) >= sizeof(out->text) || !has_only_text(text))
		return -EINVAL;
	strcpy(out->text, text);
	if (strncmp(text, "unix:", 5) == 0)
		return donor_parse_unix(text + 5, out);
	if (strchr(text, '/'))
		return -EINVAL;
	err = parse_host_port(text, WIRE_DEFAULT_PORT, out->host, &out->port);
	if (err)
		return -EINVAL;
	return out->host[0] ? 0 : -EINVAL;
}

static bool donor_is_same(const struct config_donor *a, const struct config_donor *b)
{
	return a->port == b->port && strcasecmp(a->host, b->host) == 0 &&
	       strcmp(a->path, b->path) == 0;
}

static bool donor_is_known(const struct config *config, const struct config_donor *donor)
{
	unsigned i;

	for (i = 0; i < config->donor_count; i++) {
		if (donor_is_same(&config->donors[i], donor))
			return true;
	}
	return false;
}

static int donor_add(struct config *config, const char *text, char why[CONFIG_WHY_BYTES])
{
	struct config_donor donor;

	if (donor_parse(text, &donor))
		return explain(why, -EINVAL, "%.*s: not a donor: " DONOR_ADVICE, SHOWN, text);
	if (donor_is_known(config, &donor))
		return 0;
	if (config->donor_count == CONFIG_MAX_DONORS)
		return explain(why, -EINVAL, "%.*s: one donor too many: at most %d are used", SHOWN,
			       text, CONFIG_MAX_DONORS);
	config->donors[config->donor_count++] = donor;
	return 0;
}

static int list_add(struct config *config, const char *text, char why[CONFIG_WHY_BYTES])
{
	char word[LINE_BYTES];
	bool is_empty = true;
	int err;

	for (;;) {
		size_t len;

		text += strspn(text, ", \t\r\n");
		if (!*text)
			break;
		len = strcspn(text, ", \t\r\n");
		if (len >= sizeof(word))
			return explain(why, -EINVAL, "%.*s...: not a donor: " DONOR_ADVICE, SHOWN,
				       text);
		memcpy(word, text, len);
		word[len] = '\0';
		err = donor_add(config, word, why);
		if (err)
			return err;
		is_empty = false;
		text += len;
	}
	if (is_empty)
		return explain(why, -EINVAL, "names no donor: " DONOR_ADVICE);
	return 0;
}

/* ---- donor files ---- */

/* A file read line by line without stdio, which would allocate in a program not ours. */
struct reader {
	int fd;
	unsigned line; /* number of the one read last, from 1 */
	size_t at, len;
	bool at_end;
	char bytes[LINE_BYTES];
};

/* 1 with a line of its own, 0 at the end, -E2BIG for a line that does not fit, or read's errno. */
static int reader_line(struct reader *r, char line[LINE_BYTES])
{
	for (;;) {
		char *start = r->bytes + r->at;
		char *end = memchr(start, '\n', r->len - r->at);
		size_t rest = r->len - r->at;
		ssize_t got;

		if (end || (r->at_end && rest)) {
			size_t len = end ? (size_t)(end - start) : rest;

			r->line++;
			memcpy(line, start, len);
			line[len] = '\0';
			r->at += end ? len + 1 : len;
			return strlen(line) == len ? 1 : -EILSEQ;
		}
		if (r->at_end)
			return 0;
		memmove(r->bytes, start, rest);
		r->at = 0;
		r->len = rest;
		if (rest == sizeof(r->bytes) - 1)
			return -E2BIG;
		got = read(r->fd, r->bytes + rest, sizeof(r->bytes) - 1 - rest);
		if (got < 0)
			return -errno;
		r->at_end = got == 0;
		r->len += (size_t)got;
	}
}

/* Cuts the comment and the blanks around (a CR of other systems too); returns what is left. */
static char *line_trim(char *line)
{
	size_t len;

	line[strcspn(line, "#")] = '\0';
	line += strspn(line, " \t\r");
	len = strlen(line);
	while (len && strchr(" \t\r", line[len - 1]))
		line[--len] = '\0';
	return line;
}

/* 1 if the line names a donor, 0 if it names none. */
static int line_add(struct config *config, char *line, char why[CONFIG_WHY_BYTES])
{
	char *text = line_trim(line);
	int err;

	if (!*text)
		return 0;
	if (strpbrk(text, ", \t"))
		return explain(why, -EINVAL, "%.*s: one donor a line is expected", SHOWN, text);
	err = donor_add(config, text, why);
	return err ? err : 1;
}

static int explain_read(char why[CONFIG_WHY_BYTES], int err, const char *path,
			const struct reader *r)
{
	const char *cause = strerrordesc_np(-err);

	if (err == -E2BIG)
		return explain(why, -EINVAL, "%.*s line %u: longer than %d characters", SHOWN, path,
			       r->line + 1, LINE_BYTES - 2);
	if (err == -EILSEQ)
		return explain(why, -EINVAL, "%.*s line %u: not text", SHOWN, path, r->line);
	return explain(why, err, "%.*s: cannot be read: %s", SHOWN, path, cause ? cause : "error");
}

static int lines_add(struct config *config, const char *path, struct reader *r,
		     char why[CONFIG_WHY_BYTES])
{
	bool is_empty = true;
	char line[LINE_BYTES], where[SHOWN + 32];
	int err;

	while ((err = reader_line(r, line)) > 0) {
		err = line_add(config, line, why);
		if (err < 0) {
			snprintf(where, sizeof(where), "%.*s line %u: ", SHOWN, path, r->line);
			return explain_where(why, err, where);
		}
		if (err)
			is_empty = false;
	}
	if (err)
		return explain_read(why, err, path, r);
	if (is_empty)
		return explain(why, -EINVAL, "%.*s: names no donor: one a line is expected", SHOWN,
			       path);
	return 0;
}

static int file_add(struct config *config, const char *path, char why[CONFIG_WHY_BYTES])
{
	struct reader r = {.line = 0};
	int err;

	/* not blocking: a named pipe without a writer must not hold up the program's start */
	r.fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (r.fd < 0)
		return explain_read(why, -errno, path, &r);
	err = lines_add(config, path, &r, why);
	close(r.fd);
	return err;
}

int config_add_donors(struct config *config, const char *text, char why[CONFIG_WHY_BYTES])
{
	if (text[0] == '/' || text[0] == '.')
		return file_add(config, text, why);
	return list_add(config, text, why);
}

/* ---- the rest ---- */

int config_set_transport(struct config *config, const char *text, char why[CONFIG_WHY_BYTES])
{
	static const char *const names[] = {"auto", "shm", "tcp", "verbs"};
	unsigned i;

	for (i = 0; i < ARRAY_LEN(names); i++) {
		if (strcmp(text, names[i]) == 0) {
			config->transport = (enum config_transport)i;
			return 0;
		}
	}
	return explain(why, -EINVAL, "%.*s: not a transport: write auto, shm, verbs or tcp", SHOWN,
		       text);
}

static int set_auto_or_off(bool *is_auto, const char *text, char why[CONFIG_WHY_BYTES])
{
	if (strcmp(text, "auto") != 0 && strcmp(text, "off") != 0)
		return explain(why, -EINVAL, "%.*s: write auto or off", SHOWN, text);
	*is_auto = text[0] == 'a';
	return 0;
}

int config_set_cpu_latency(struct config *config, const char *text, char why[CONFIG_WHY_BYTES])
{
	return set_auto_or_off(&config->keep_awake, text, why);
}

/* "50%" */
static bool is_percent(const char *text, unsigned *percent)
{
	unsigned value = 0, digits = 0;

	for (; text[digits] >= '0' && text[digits] <= '9' && digits < 4; digits++)
		value = value * 10 + (unsigned)(text[digits] - '0');
	*percent = value;
	return digits && strcmp(text + digits, "%") == 0;
}

static int set_local_share(struct config *config, const char *text, char why[CONFIG_WHY_BYTES])
{
	unsigned percent = 0;

	if (strcmp(text, "auto") == 0) {
		config->local = CONFIG_LOCAL_AUTO;
		return 0;
	}
	if (!is_percent(text, &percent))
		return -ENOENT;
	if (percent == 0 || percent > 100)
		return explain(why, -EINVAL, "%.*s: write 1%% to 100%%", SHOWN, text);
	config->local = CONFIG_LOCAL_PERCENT;
	config->local_percent = percent;
	return 0;
}

int config_set_local(struct config *config, const char *text, char why[CONFIG_WHY_BYTES])
{
	uint64_t bytes;
	int err = set_local_share(config, text, why);

	if (err != -ENOENT)
		return err;
	err = parse_size(text, &bytes);
	if (err == -ERANGE)
		return explain(why, -EINVAL, "%.*s: too large a size", SHOWN, text);
	if (err)
		return explain(why, -EINVAL,
			       "%.*s: not a size: write for example 512M, 50%% or "
			       "auto",
			       SHOWN, text);
	if (bytes < CONFIG_MIN_LOCAL)
		return explain(why, -EINVAL, "%.*s: too small: at least %uM is needed", SHOWN, text,
			       CONFIG_MIN_LOCAL >> 20);
	config->local = CONFIG_LOCAL_SIZE;
	config->local_bytes = bytes;
	return 0;
}

static int set_move(struct config *config, const char *text, char why[CONFIG_WHY_BYTES])
{
	return set_auto_or_off(&config->move, text, why);
}

static int set_require(struct config *config, const char *text, char why[CONFIG_WHY_BYTES])
{
	if (strcmp(text, "0") != 0 && strcmp(text, "1") != 0)
		return explain(why, -EINVAL, "%.*s: write 0 or 1", SHOWN, text);
	config->require = text[0] == '1';
	return 0;
}

static int set_log(struct config *config, const char *text, char why[CONFIG_WHY_BYTES])
{
	config->quiet = strcmp(text, "off") == 0;
	if (config->quiet || log_level_parse(text, &config->log_level) == 0)
		return 0;
	return explain(why, -EINVAL, "%.*s: not a log level: write debug, info, warn, error or off",
		       SHOWN, text);
}

static int set_log_file(struct config *config, const char *text, char why[CONFIG_WHY_BYTES])
{
	if (strlen(text) >= sizeof(config->log_file))
		return explain(why, -EINVAL, "%.*s...: too long: at most %zu characters", SHOWN,
			       text, sizeof(config->log_file) - 1);
	strcpy(config->log_file, text);
	return 0;
}

/* What pagerctl has made up: a wrong one is said when it cannot be opened. */
static int set_tree(struct config *config, const char *text, char why[CONFIG_WHY_BYTES])
{
	if (text[0] != '/' || strlen(text) >= sizeof(config->tree))
		return explain(why, -EINVAL, "%.*s: not a path that pagerctl run has set", SHOWN,
			       text);
	strcpy(config->tree, text);
	return 0;
}

int config_from_env(struct config *config, char *(*get)(const char *name),
		    char why[CONFIG_WHY_BYTES])
{
	static const struct {
		const char *name;
		const char *where; /* put before an explanation */
		int (*set)(struct config *config, const char *text, char why[CONFIG_WHY_BYTES]);
	} variables[] = {
		{"LIBPAGER_LOG", "LIBPAGER_LOG=", set_log},
		{"LIBPAGER_LOG_FILE", "LIBPAGER_LOG_FILE=", set_log_file},
		{"LIBPAGER_LOCAL", "LIBPAGER_LOCAL=", config_set_local},
		{"LIBPAGER_DONORS", "LIBPAGER_DONORS: ", config_add_donors},
		{"LIBPAGER_TRANSPORT", "LIBPAGER_TRANSPORT=", config_set_transport},
		{"LIBPAGER_CPU_LATENCY", "LIBPAGER_CPU_LATENCY=", config_set_cpu_latency},
		{"LIBPAGER_MOVE", "LIBPAGER_MOVE=", set_move},
		{"LIBPAGER_REQUIRE", "LIBPAGER_REQUIRE=", set_require},
		{"LIBPAGER_TREE", "LIBPAGER_TREE=", set_tree},
	};
	unsigned i;

	for (i = 0; i < ARRAY_LEN(variables); i++) {
		const char *text = get(variables[i].name);

		/* VARIABLE= with nothing is how shells unset one for a command */
		if (!text || !*text)
			continue;
		if (variables[i].set(config, text, why))
			return explain_where(why, -EINVAL, variables[i].where);
	}
	return 0;
}
