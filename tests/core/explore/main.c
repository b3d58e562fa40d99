/* SPDX-License-Identifier: Apache-2.0
 *
 * explore [--only WORD] [--model sc|tso|c11] [--walks N] [--limit N] [--list] [--replay RESTARTS:CHOICES]
 *
 * Runs each scenario whose name contains WORD (default: all) in a process of its own, under each model (default: all three),
 * and prints a line for each: first N random walks, then everything, or N executions of it (--limit). Exits with 1 at the first failure, after its trace. */
#include "search.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>

static double seconds(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void explore(const xp_scenario *s, xp_model only, uint64_t walks, uint64_t limit, const char *replay) {
  xp_catch_signals();
  if (s->setup)
    s->setup();
  xp_world_seal();
  for (xp_model model = XP_SC; model < XP_MODELS; model++) {
    if (only != XP_MODELS && only != model)
      continue;
    if (replay) {
      const char *choices = strchr(replay, ':');
      xp_replay(s, model, (uint32_t)strtoul(replay, NULL, 10), choices ? choices + 1 : "");
      continue;
    }
    double start = seconds();
    xp_walk(s, model, walks);
    xp_result r = xp_search(s, model, limit);
    printf("%-64s %-3s %9llu states %9llu paths %7llu ends %3u words %6.2f s%s\n", s->name, xp_model_names[model],
           (unsigned long long)r.states, (unsigned long long)r.executions, (unsigned long long)r.ends, r.words,
           seconds() - start,
           r.cut_short      ? "  CUT SHORT"
           : s->preemptions ? "  bounded"
                            : "");
    fflush(stdout);
  }
}

int main(int argc, char **argv) {
  const char *only = "", *replay = NULL;
  xp_model model = XP_MODELS;
  uint64_t limit = 0, walks = 0;
  bool list = false;
  for (int i = 1; i < argc; i++) {
    const char *value = i + 1 < argc ? argv[i + 1] : "";
    if (!strcmp(argv[i], "--list")) {
      list = true;
      continue;
    }
    if (!strcmp(argv[i], "--only"))
      only = value;
    else if (!strcmp(argv[i], "--limit"))
      limit = strtoull(value, NULL, 10);
    else if (!strcmp(argv[i], "--walks"))
      walks = strtoull(value, NULL, 10);
    else if (!strcmp(argv[i], "--replay"))
      replay = value;
    else if (!strcmp(argv[i], "--model"))
      for (model = XP_SC; model < XP_MODELS && strcmp(value, xp_model_names[model]) != 0;)
        model++;
    i++;
  }
  uint32_t found = 0;
  for (uint32_t i = 0; xp_scenarios[i]; i++) {
    const xp_scenario *s = xp_scenarios[i];
    if (!strstr(s->name, only))
      continue;
    found++;
    if (list) {
      puts(s->name);
      continue;
    }
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
      explore(s, model, walks, limit, replay);
      exit(0);
    }
    int status = 1;
    if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0)
      return 1;
  }
  if (!found)
    fprintf(stderr, "no scenario is named so: %s\n", only);
  return found ? 0 : 2;
}
