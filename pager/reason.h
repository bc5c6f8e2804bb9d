/* An errno as the end of a line for people: "connection reset by peer". Any thread, no allocation.
 */
#ifndef PAGER_REASON_H
#define PAGER_REASON_H

#define REASON_BYTES 80

/* `err` is negative. Returns `out`. */
const char *reason_text(int err, char out[REASON_BYTES]);

#endif
