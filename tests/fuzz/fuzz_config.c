/*
 * Donor lists and donor files, and the other variables, as users write them. What is accepted must
 * be accepted again from the words kept for messages; what is refused gets one line that says why.
 */
#include "pager/config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *variable;
static char *variable_text;

static void must(int is_so)
{
	if (!is_so)
		abort();
}

static void check_why(const char why[CONFIG_WHY_BYTES])
{
	size_t len = strnlen(why, CONFIG_WHY_BYTES);

	must(len > 0 && len < CONFIG_WHY_BYTES);
	for (size_t i = 0; i < len; i++)
		must((unsigned char)why[i] >= ' ' && why[i] != 0x7f);
}

static void check_donors(const struct config *config)
{
	static struct config again;
	char why[CONFIG_WHY_BYTES], text[sizeof(config->donors[0].text) + 1];

	must(config->donor_count <= CONFIG_MAX_DONORS);
	config_init(&again);
	for (unsigned i = 0; i < config->donor_count; i++) {
		const struct config_donor *donor = &config->donors[i];

		must((donor->host[0] == '\0') != (donor->path[0] == '\0'));
		/* The comma: in a donor file a host may begin as only a path does in a list. */
		snprintf(text, sizeof(text), ",%s", donor->text);
		must(!config_add_donors(&again, text, why));
	}
	must(again.donor_count == config->donor_count);
	must(!memcmp(again.donors, config->donors, sizeof(again.donors)));
}

static void check_list(const char *text)
{
	static struct config config;
	char why[CONFIG_WHY_BYTES] = "";

	config_init(&config);
	if (config_add_donors(&config, text, why))
		check_why(why);
	check_donors(&config);
}

/* The same bytes as the content of a donor file. */
static void check_file(const uint8_t *data, size_t size)
{
	char path[64];
	int fd = memfd_create("donors", MFD_CLOEXEC);

	must(fd >= 0 && write(fd, data, size) == (ssize_t)size);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	check_list(path);
	close(fd);
}

static char *get_variable(const char *name)
{
	return strcmp(name, variable) ? NULL : variable_text;
}

static void check_variables(char *text)
{
	static const char *const names[] = {"LIBPAGER_LOCAL", "LIBPAGER_TRANSPORT",
					    "LIBPAGER_REQUIRE", "LIBPAGER_LOG",
					    "LIBPAGER_LOG_FILE"};
	static struct config config;
	char why[CONFIG_WHY_BYTES] = "";

	variable_text = text;
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		variable = names[i];
		config_init(&config);
		if (config_from_env(&config, get_variable, why)) {
			check_why(why);
			must(strstr(why, variable) != NULL);
		}
		must(!config.local_bytes || config.local_bytes >= CONFIG_MIN_LOCAL);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);

	if (!text)
		abort();
	if (size)
		memcpy(text, data, size);
	text[size] = '\0';
	check_file(data, size);
	check_variables(text);
	/* Other files of this machine are no input of ours. */
	if (text[0] != '/' && text[0] != '.')
		check_list(text);
	free(text);
	return 0;
}
