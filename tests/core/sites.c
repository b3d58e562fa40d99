/* SPDX-License-Identifier: Apache-2.0 */
#include "sites.h"

#if defined(SH_HOOKS) && SH_HOOKS

#include "branch.h"

/* Made by the linker from the section's name. */
extern const sh_site __start_sh_sites[], __stop_sh_sites[];

static sh_a32 *visits;

static uint32_t n_sites(void) {
  return (uint32_t)(__stop_sh_sites - __start_sh_sites);
}

void sites_open(void) {
  visits = branch_shared(n_sites() * sizeof *visits);
}

void sites_visit(void) {
  atomic_fetch_add(&visits[sh_hook_site - __start_sh_sites], 1U);
}

static bool ends_with(const char *text, const char *end) {
  size_t n = strlen(text), m = strlen(end);
  return n >= m && strcmp(text + n - m, end) == 0;
}

static bool is_of_core(const sh_site *site) {
  return strstr(site->file, "src/core/") != NULL;
}

/* One line may be several sites: a function of a header in several files. */
bool sites_is_visited(const sh_site *site) {
  for (const sh_site *s = __start_sh_sites; s < __stop_sh_sites; s++)
    if (s->line == site->line && strcmp(s->file, site->file) == 0 && visits[s - __start_sh_sites])
      return true;
  return false;
}

void sites_expect_visited(const sites_exempt *exempt, uint32_t n) {
  uint32_t total = 0, visited = 0, excused = 0, missed = 0;
  uint64_t kills = 0;
  bool used[64] = {false};
  EXPECT(n <= 64);
  for (const sh_site *s = __start_sh_sites; s < __stop_sh_sites; s++) {
    if (!is_of_core(s))
      continue;
    total++;
    kills += visits[s - __start_sh_sites];
    if (sites_is_visited(s)) {
      visited++;
      continue;
    }
    uint32_t i = 0;
    while (i < n && !(ends_with(s->file, exempt[i].file) &&
                      (!exempt[i].function || strcmp(exempt[i].function, s->function) == 0)))
      i++;
    if (i < n) {
      excused++;
      used[i] = true;
      continue;
    }
    missed++;
    fprintf(stderr, "%s:%d: in %s: no process was killed before this store\n", s->file, s->line, s->function);
  }
  for (uint32_t i = 0; i < n; i++)
    if (!used[i]) {
      missed++;
      fprintf(stderr, "%s, %s: exempt, but there is nothing unvisited\n", exempt[i].file,
              exempt[i].function ? exempt[i].function : "all");
    }
  if (getenv("SHOAL_TEST_VERBOSE"))
    fprintf(stderr, "%u stores in the source: %u visited by %llu kills, %u exempt\n", total, visited,
            (unsigned long long)kills, excused);
  EXPECT_EQ(missed, 0);
}

#endif
