/* SPDX-License-Identifier: MIT
 *
 * Sleeping, waking and the end of an executor as a protocol, over sequentially consistent memory
 * (lib/README.md, "Parking" and "Shutdown"; the programs beside this file look at the code, and at
 * weaker memory). Each submit, search and sleep is as many steps as it has in park.c.
 *
 * Checked: each accepted task runs, all processes end (no invalid end state), and with weak
 * fairness both happen in the end. Planted mistakes, which must be found:
 * BUG_RECHECK, BUG_LAST, BUG_CLOSE.
 */
#ifndef WORKERS
#define WORKERS 2
#endif
#ifndef SUBMITTERS
#define SUBMITTERS 1
#endif
#ifndef TASKS
#define TASKS 2 /* of each submitter; in all not more than workers: see `begun` */
#endif

byte queue = 0;         /* tasks */
byte accepted = 0;
byte begun = 0; /* each task waits until all that were accepted have begun: so a worker that sleeps
                   beside one is found, though another would come for it later */
byte done = 0;
byte sleeping = WORKERS; /* the word `idle`: both halves are read and changed at once */
byte searching = 0;
bool closed = false;
bool exiting = false;
byte busy = 0;          /* closers that still look */
bool locked = false;    /* the park mutex */
bool idle[WORKERS] = true;
bool woken[WORKERS] = false; /* the event: set by whoever takes it off the list */
byte ended = 0;
byte submitters_done = 0;

inline lock() {
    atomic { !locked -> locked = true }
}

inline unlock() {
    locked = false
}

/* Wakes one that sleeps, unless somebody searches. */
inline wake_one() {
    lock();
    if
    :: d_step { sleeping > 0 && searching == 0 && !exiting ->
           k = 0;
           do
           :: k < WORKERS && !idle[k] -> k++
           :: else -> break
           od;
           idle[k] = false;
           sleeping--;
           searching++ }
       unlock();
       woken[k] = true
    :: else -> unlock()
    fi
}

/* With the mutex. Nothing was found in the queue by a look that came before. */
inline end_if_done() {
    if
    :: closed && sleeping == WORKERS && busy == 0 && !exiting ->
       d_step {
           exiting = true;
           k = 0;
           do
           :: k < WORKERS -> woken[k] = true; k++
           :: else -> break
           od;
           k = 0
       }
    :: else
    fi
}

proctype submitter() {
    byte k = 0;
    byte i = 0;
    bool ok;

    do
    :: i < TASKS ->
       i++;
       atomic { /* one swap of the inbox's tail */
           ok = !closed;
           if
           :: ok -> queue++; accepted++
           :: else
           fi
       }
       if
       :: ok && sleeping > 0 -> /* a light fence before it */
          if
          :: sleeping > 0 && searching == 0 -> wake_one() /* a fence before it */
          :: else
          fi
       :: else
       fi
    :: else -> break
    od;
    submitters_done++
}

proctype closer() {
    byte k = 0;

    lock();
    busy++;
    unlock();
    closed = true;
    lock();
    busy--;
#ifndef BUG_CLOSE
    if
    :: queue == 0 -> end_if_done()
    :: else
    fi;
#endif
    unlock()
}

proctype worker(byte me) {
    byte k = 0;
    bool got;
    bool last;
    bool is_searching = false;

sleep:
    woken[me];
    woken[me] = false;
    if
    :: exiting -> goto leave
    :: else -> is_searching = true /* counted by whoever woke it */
    fi;
look:
    atomic {
        got = queue > 0;
        if
        :: got -> queue--
        :: else
        fi
    }
    if
    :: got ->
       if
       :: is_searching ->
          is_searching = false;
          atomic { searching--; last = searching == 0 && sleeping > 0 }
#ifndef BUG_LAST
          if
          :: last && queue > 0 -> wake_one() /* a fence before the look */
          :: else
          fi
#endif
       :: else
       fi;
       begun++;
       begun >= accepted;
       done++;
       goto look
    :: else
    fi;
    if
    :: !is_searching -> is_searching = true; searching++; goto look
    :: else
    fi;
    lock();
    idle[me] = true;
    atomic { sleeping++; searching-- }
    is_searching = false;
    /* a heavy fence */
#ifndef BUG_RECHECK
    if
    :: queue > 0 ->
       idle[me] = false;
       atomic { sleeping--; searching++ }
       is_searching = true;
       unlock();
       goto look
    :: else
    fi;
#endif
    end_if_done();
    unlock();
    goto sleep;
leave:
    ended++;
    assert(done == accepted && queue == 0)
}

init {
    byte n = 0;

    atomic {
        do
        :: n < WORKERS -> run worker(n); n++
        :: else -> break
        od;
        n = 0;
        do
        :: n < SUBMITTERS -> run submitter(); n++
        :: else -> break
        od;
        run closer()
    }
}

ltl all_end { <> (ended == WORKERS && done == accepted) }
/* A task that has been accepted is run though nobody closes. */
ltl all_run { [] (queue > 0 -> <> (queue == 0)) }
