/* The use of a connection, for Spin: a hold ends once, and what is closed for want of use is unused.

Each of PRODUCERS users has an attempt in flight at first. It takes a hold before the attempt ends,
as a stream does that a call has opened, releases it, and so on, MESSAGES times. The dispatcher
reports a failure. Every access to what threads share is a step of its own, so the model holds with
and without the GIL.

`begun`, `ended`, `in_use` and `used_since` are ghosts: no step of the code depends on them. Users
are alike, so only the first one is watched.

Options: FAILS (the peer breaks the connection), SWEEPS (the idle sweep checks twice), RETIRES (the
server logs off), SECOND (another thread releases the only hold of the first user, too). BREAK_... are
mutants: each breaks one rule. docs/verification.md maps steps to code. */

#ifndef PRODUCERS
#define PRODUCERS 2
#endif
#ifndef MESSAGES
#define MESSAGES 1
#endif

#define USERS PRODUCERS
#define HOLDS MESSAGES

#define NOT_BROKEN 0
#define BROKEN 1                /* the peer, or the user, has ended it */
#define UNUSED 2                /* this side has closed it because nobody used it */

byte error;                     /* Socket.error */
bit is_retired;
bit pending[USERS];             /* _pending: the attempt of that user waits for its response */
bit holds[USERS];               /* _holds */
byte n_pending, n_holds;        /* their lengths */
bit is_reported;                /* the failure was posted to the dispatcher */

byte begun, ended;              /* holds of the first user: stored; released, refused or told */
bit in_use;                     /* the first user: from its attempt until it releases its hold */
bit used_since[USERS + 3];      /* in_use without a break since that closer began */
byte others;                    /* processes that are not over, without the dispatcher */

#define SWEEPER     USERS
#define RETIREMENT  (USERS + 1)
#define OTHER       (USERS + 2)

inline begin_closing(closer) {  /* what follows may close the connection */
    used_since[closer] = in_use
}

inline stop_using(user) {
    d_step {
        if
        :: user == 0 ->
            in_use = 0;
            k = 0;
            do
            :: k < USERS + 3 -> used_since[k] = 0; k++
            :: else -> k = 0; break
            od
        :: else
        fi
    }
}

inline fail(why, closer) {
    d_step {
        if
        :: error == NOT_BROKEN ->
            assert(why != UNUSED || !used_since[closer]);
            error = why;
            is_reported = 1
        :: else
        fi;
        used_since[closer] = 0
    }
}

inline store_hold(user) {
    holds[user] = 1;
    n_holds++;
    begun = begun + (user == 0)
}

inline drop_hold(user) {
    holds[user] = 0;
    n_holds--;
    ended = ended + (user == 0)
}

inline look(is_held) {          /* is_held: two loads, in this order */
#ifdef BREAK_HOLDS_FIRST
    is_held = (n_holds > 0);
    if
    :: !is_held -> is_held = (n_pending > 0)
    :: else
    fi
#else
    is_held = (n_pending > 0);
    if
    :: !is_held -> is_held = (n_holds > 0)
    :: else
    fi
#endif
}

inline close_if_done(closer, is_held) {
    if
    :: is_retired ->
#ifdef BREAK_NO_LOOK_AGAIN
        fail(UNUSED, closer)
#else
        look(is_held);
        if
        :: !is_held -> fail(UNUSED, closer)
        :: else -> is_held = 0
        fi
#endif
    :: else
    fi
}

inline note_end(closer, is_held) {
    look(is_held);
    if
    :: !is_held -> close_if_done(closer, is_held)
    :: else -> is_held = 0
    fi
}

inline hold(user, is_mine) {
#ifdef BREAK_LOOK_THEN_HOLD
    if
    :: error
    :: else -> d_step { store_hold(user); is_mine = 1 }
    fi
#else
    d_step { assert(!holds[user]); store_hold(user); is_mine = 1 };
#ifndef BREAK_BLIND_HOLD
    if
    :: error ->
        d_step {                            /* refused, unless the user was told already */
            if
            :: holds[user] -> drop_hold(user); is_mine = 0
            :: else
            fi
        }
    :: else
    fi
#else
    skip
#endif
#endif
}

inline release_hold(user, closer, is_held) {
    begin_closing(closer);
    stop_using(user);
#ifdef BREAK_RELEASED_TWICE
    is_held = holds[user];
    d_step { if :: is_held -> n_holds = n_holds - holds[user]; holds[user] = 0; ended = ended + (user == 0) :: else fi };
#else
    d_step { is_held = holds[user]; if :: is_held -> drop_hold(user) :: else fi };
#endif
    if
    :: error || !is_held -> is_held = 0     /* RuntimeError, if it is not held */
    :: else -> is_held = 0; note_end(closer, is_held)
    fi;
    used_since[closer] = 0
}

inline end_attempt(user, is_held) {         /* a response, a deadline, a cancellation */
    begin_closing(user);
    d_step { is_held = pending[user]; n_pending = n_pending - is_held; pending[user] = 0 };
    if
    :: is_held && !error -> is_held = 0; note_end(user, is_held)
    :: else -> is_held = 0
    fi;
    used_since[user] = 0
}

bit other_may_release;

proctype User(byte me) {
    bit is_mine, is_held;
    byte number, k;
    do
    :: number < HOLDS ->
        number++;
        hold(me, is_mine);
        if
        :: !is_mine -> break
        :: else -> is_mine = 0
        fi;
        if
        :: me == 0 -> d_step { in_use = (error == NOT_BROKEN); other_may_release = 1 }
        :: else
        fi;
        if
        :: number == 1 -> end_attempt(me, is_held)
        :: else
        fi;
        if
        :: true -> release_hold(me, me, is_held)
        :: error -> !holds[me]              /* it waits until it hears of the failure */
        fi
    :: else -> break
    od;
    stop_using(me);
    if
    :: number == 1 -> end_attempt(me, is_held)
    :: else
    fi;
    if
    :: me == 0 -> other_may_release = 1
    :: else
    fi;
    others--
}

#ifdef SECOND
proctype SecondThread() {
    bit is_held;
    byte k;
    other_may_release;
    release_hold(0, OTHER, is_held);
    others--
}
#endif

#ifdef SWEEPS
proctype Sweep() {
    bit is_held;
    look(is_held);
    if
    :: !is_held -> is_retired = 1
    :: else -> is_held = 0
    fi;
    begin_closing(SWEEPER);
    close_if_done(SWEEPER, is_held);
    used_since[SWEEPER] = 0;
    others--
}
#endif

#ifdef RETIRES
proctype Retire() {
    bit is_held;
    begin_closing(RETIREMENT);
#ifdef BREAK_LOOK_THEN_RETIRE
    look(is_held);
    is_retired = 1;
    if
    :: !is_held -> fail(UNUSED, RETIREMENT)
    :: else -> is_held = 0
    fi;
#else
    is_retired = 1;
    close_if_done(RETIREMENT, is_held);
#endif
    used_since[RETIREMENT] = 0;
    others--
}
#endif

#ifdef FAILS
proctype Failer() {
    fail(BROKEN, OTHER);
    others--
}
#endif

proctype Dispatcher() {                     /* _end_users: one user in a step, and a last look */
    byte user;
    do
    :: is_reported ->
        if
        :: n_holds > 0 ->
            d_step {
                user = 0;
                do
                :: user < USERS && !holds[user] -> user++
                :: else -> break
                od;
                skip
            }
            if
            :: user < USERS ->
#ifdef BREAK_TOLD_AND_KEPT
                ended = ended + (user == 0);
                d_step { n_holds = n_holds - holds[user]; holds[user] = 0; user = 0 }
#else
                d_step { if :: holds[user] -> drop_hold(user) :: else fi; user = 0 }
#endif
            :: else -> user = 0
            fi
        :: n_holds == 0 && n_pending > 0 ->
            d_step {
                user = 0;
                do
                :: user < USERS && !pending[user] -> user++
                :: else -> break
                od;
                if
                :: user < USERS -> pending[user] = 0; n_pending--
                :: else
                fi;
                user = 0
            }
        :: n_holds == 0 && n_pending == 0 -> is_reported = 0
        fi
    :: others == 0 && !is_reported -> break
    od;
    assert(n_holds == 0 && n_pending == 0);
    assert(ended == begun);
    assert(!is_retired || error)
}

init {
    byte i;
    atomic {
        do
        :: i < USERS -> pending[i] = 1; n_pending++; others++; i++
        :: else -> break
        od;
        in_use = 1;
#ifdef SECOND
        others++; run SecondThread();
#endif
#ifdef SWEEPS
        others++; run Sweep();
#endif
#ifdef RETIRES
        others++; run Retire();
#endif
#ifdef FAILS
        others++; run Failer();
#endif
        run Dispatcher();
        do
        :: i > 0 -> i--; run User(i)
        :: else -> break
        od
    }
}
