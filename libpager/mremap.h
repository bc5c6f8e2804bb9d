/* mremap(3), with the engine's knowledge. */
#ifndef LIBPAGER_MREMAP_H
#define LIBPAGER_MREMAP_H

/* Looks for the one behind ours. Before anything is started. */
void mremap_init(void);

#endif
