/* SPDX-License-Identifier: Apache-2.0
 *
 * What a core function returns. Errors are values here and exceptions above bind/, translated in one table there.
 * Out-parameters are written on SH_OK only.
 */
#ifndef SH_BASE_STATUS_H
#define SH_BASE_STATUS_H

typedef enum sh_status {
  SH_OK = 0,
  SH_EMPTY,   /* nothing to take: not an error */
  SH_TIMEOUT, /* the wait ran out of time */
  SH_FULL,    /* the segment has no room; nothing was done */
  SH_FENCED,  /* this client may not work any more, or the node stops */
  SH_LOST,    /* somebody else decided first (cancel, kill, stale reference) */
  SH_INVALID, /* an argument is out of range */
  SH_OS,      /* a system call failed; errno says which way */
  SH_AGAIN,   /* interrupted for the caller to look at signals; call again */
} sh_status;

#endif
