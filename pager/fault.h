/*
 * The fault thread: reads the userfaultfd, serves faults, enters changes of the map. Everything in
 * here, place.c, fetch.c and events.c runs on that one thread and keeps the rules of the fault
 * path: no allocation, no stdio, no lock but the map lock, no memory that can itself be out.
 */
#ifndef PAGER_FAULT_H
#define PAGER_FAULT_H

#include "pager/engine.h"
#include "pager/stream.h"

#define FETCHES 64u
#define FETCH_PAGES STREAM_MAX_WINDOW
/*
 * As many as a process may have threads by default. While the ring is full nothing is read, and a
 * take-out that waits to be reported (remap.h) is what all the others may be waiting for.
 */
#define TODO_MAX 32768u
/* One for each thread that moves mappings at this moment; and all that follow a fork past fork(3).
 */
#define LATE_EVENTS 4096u
#define FETCH_EXTRA UINT64_MAX /* cookie of the read into `extra` */

/* A run of pages on its way from the store. */
struct fetch {
	uint64_t start;	   /* address of the first page */
	uint64_t since_ns; /* when the fault was read; 0 if nobody waits */
	uint64_t begun_ns; /* when it was claimed, just before it is posted */
	uint32_t pages;
	uint32_t ios, posted, done; /* of the requests below */
	uint32_t placed; /* pages placed so far: placing may pause while the map changes */
	int status;
	bool busy, again; /* again: read once more after a wrong hash */
	bool checked;	  /* all of it is here, and right */
	bool held;	  /* nobody wants it yet; once it is here, too, it is not in busy_fetches */
	uint64_t parked_ns; /* since when it is */
	struct store_io io[FETCH_PAGES];
};

struct todo {
	uint64_t address;
	uint64_t since_ns;
	uint32_t tid;
	bool write, protected; /* protected: the page is there, and may not be written to */
};

#define EXTRA_PAGES 256u

/* A child that is being given what is out of its memory: see heir.h. */
#define HEIR_CHANGES 256u
#define HEIRS 32u
#define HEIR_WIPED 64u

struct heir {
	int child;	  /* its userfaultfd */
	uint32_t changes; /* of its map since then, that have been read */
	struct uffd_event change[HEIR_CHANGES];
};

struct inheritance {
	/* The first is being filled; its descendants come after it, and one that is too many. */
	struct heir heirs[HEIRS + 1];
	uint32_t count;
	const char *why;		 /* some of it could not be given; NULL: all could */
	struct region wiped[HEIR_WIPED]; /* mappings that they have empty */
	uint32_t wiped_count;
	uint32_t pages, ios, done;
	uint64_t addresses[EXTRA_PAGES]; /* to be read, into fault->extra */
	uint32_t slots[EXTRA_PAGES];
	struct store_io io[EXTRA_PAGES];
};

struct fault_thread {
	struct engine *engine;
	struct streams reads, fresh;
	struct todo todo[TODO_MAX]; /* ring: faults read, not served yet */
	uint32_t todo_head, todo_tail;
	uint32_t busy_fetches;	 /* on their way, or to be placed */
	uint32_t held;		 /* of all fetches: that nobody wants yet */
	uint32_t deeper;	 /* so many windows more than one are fetched ahead of a stream */
	uint64_t wanted_ns;	 /* when one of them was wanted last */
	uint64_t least_ns;	 /* that a fetch has taken of late; 0: there was none */
	uint64_t stuck_since_ns; /* when the care thread was seen not to turn; 0: it does */
	struct uffd_event late[LATE_EVENTS]; /* changes that wait for another one: events.c */
	unsigned late_count;
	struct fetch fetches[FETCHES];
	uint8_t *landing; /* FETCH_PAGES pages for each fetch */
	uint8_t *zeros;	  /* FETCH_PAGES pages */
	uint8_t *fill;	  /* one page */
	uint8_t *extra;	  /* EXTRA_PAGES pages: reads outside of all fetches */
	struct inheritance heirs;
	char *heir_maps; /* for maps_each_wiped() */
};

int fault_start(struct engine *engine) MUST_CHECK;

/* Lends its buffers to the store, once that is open. */
int fault_register(struct engine *engine) MUST_CHECK;

/* Reads what the kernel has to say: enters changes, keeps faults to be served. Returns how many. */
unsigned fault_read(struct fault_thread *fault);

/*
 * Enters one change of the map, or keeps it until the one that came before it in truth has been
 * read. Under map_lock. A fork's child descriptor is closed.
 */
void event_enter(struct fault_thread *fault, const struct uffd_event *event);

/* Whether the books are up to the map: nothing may be placed before. */
bool event_is_settled(struct fault_thread *fault);

/* What serving comes to. LATER: the same again in the next turn. */
enum served { SERVED, LATER };

/* Serves one fault, or begins to. */
enum served place_fault(struct fault_thread *fault, const struct todo *todo);

/* Puts resident copies of a page that is staged or filled back. Under map_lock. */
enum served place_back(struct fault_thread *fault, struct page *page, uint64_t address);

/* A page full of the word, until the next call. */
const void *place_fill(struct fault_thread *fault, uint64_t word);

/* Begins to fetch the run around a remote page. Under map_lock. */
enum served fetch_begin(struct fault_thread *fault, uint64_t address, struct stream_advice advice,
			uint64_t since_ns);
/*
 * Begins to fetch the windows that are wanted next, if the stream is steady; there may be no room
 * for them. Under map_lock.
 */
void fetch_ahead(struct fault_thread *fault, const struct stream_advice *advice);

/* A page that is being fetched is wanted: whether it is one of those that nobody had asked for.
 * Under map_lock. */
bool fetch_want(struct fault_thread *fault, const struct page *page, uint64_t since_ns);

/* Posts what waits: done early, so that the donor works meanwhile. Returns how much was done. */
unsigned fetch_post(struct fault_thread *fault);
/* Takes completions, places what arrived. Returns how much was done. */
unsigned fetch_turn(struct fault_thread *fault);

/* Posts and takes completions, without placing: for a caller that waits for one fetch and holds the
 * map lock. */
unsigned fetch_wait_turn(struct fault_thread *fault);

/* Part of recall.h: brings home what is out while a thread waits to fork. */
void recall_step(struct fault_thread *fault);

#endif
