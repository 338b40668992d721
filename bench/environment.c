#include "environment.h"

#include <inttypes.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

/* "model name : X" on most machines; some say "Model" or nothing. */
static void read_cpu(char *cpu, size_t size) {
  FILE *file = fopen("/proc/cpuinfo", "re");
  char line[512];
  while (file && !*cpu && fgets(line, sizeof line, file))
    if (strncmp(line, "model name", 10) == 0 || strncmp(line, "Model", 5) == 0) {
      const char *value = strchr(line, ':');
      value = value ? value + 1 + strspn(value + 1, " \t") : "";
      snprintf(cpu, size, "%.*s", (int)strcspn(value, "\n"), value);
    }
  if (file)
    fclose(file);
}

/* As one would type it again: words with other than plain characters are quoted. */
static void join_command(char *command, size_t size, int argc, char **argv) {
  static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./,:=+@%";
  size_t length = 0;
  for (int i = 0; i < argc && length < size; i++) {
    const char *word = argv[i];
    const char *quote = *word && word[strspn(word, plain)] == '\0' ? "" : "'";
    int added = snprintf(command + length, size - length, "%s%s%s%s", i > 0 ? " " : "", quote, word, quote);
    length += added > 0 ? (size_t)added : 0;
  }
}

void environment_read(struct result_environment *environment, int argc, char **argv,
                      const struct options *options, const struct queries *queries) {
  *environment = (struct result_environment){.version = "mxway-bench " MXWAY_VERSION};
  struct utsname system;
  struct tm utc;
  time_t now = time(NULL);
  read_cpu(environment->cpu, sizeof environment->cpu);
  if (uname(&system) == 0)
    snprintf(environment->kernel, sizeof environment->kernel, "%.60s %.100s %.60s", system.sysname,
             system.release, system.machine);
  snprintf(environment->host_cores, sizeof environment->host_cores, "%ld", sysconf(_SC_NPROCESSORS_ONLN));
  strftime(environment->started_at, sizeof environment->started_at, "%Y-%m-%dT%H:%M:%SZ",
           gmtime_r(&now, &utc));
  join_command(environment->command, sizeof environment->command, argc, argv);
  if (options->generator)
    snprintf(environment->queries, sizeof environment->queries, "%.200s seed %" PRIu64, options->generator,
             options->seed);
  else
    snprintf(environment->queries, sizeof environment->queries, "%.200s (%zu queries)",
             strcmp(options->file, "-") == 0 ? "standard input" : options->file, queries_count(queries));
  snprintf(environment->queries_hash, sizeof environment->queries_hash, "%016" PRIx64, queries_hash(queries));
}
