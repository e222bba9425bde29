/* The write path of a socket, for Spin: one writer at a time, nothing lost, each outcome delivered once.

Producers push messages, a dispatcher runs turns, one process may fail the socket, one may cancel a
message, a kernel takes any prefix of what it is given or breaks. Every access to what threads
share is a step of its own, so the model holds with and without the GIL. A step that touches only
what belongs to the holder of the write right is joined with its neighbours. It asserts that its
process is the holder; `owner` names the holder, and each step that hands the right over sets it.

    owner == NOBODY            the head of the queue is NONE
    owner == POSTED            a keep_write waits to be run, by post or by timer
    owner == WAITING_FOR_ROOM  the dispatcher waits for the descriptor to become writable
    owner == CONNECTOR         from the first write until TCP is established or has failed
    owner == DISPATCHER        inside keep_write or close, in a turn
    owner >= PRODUCER          inside write, in that producer

Messages have UNITS bytes, and numbers for names, in the order of their exchanges: which producer
pushed one does not matter afterwards. So states that differ only in that are one state.

`owner`, `on_wire`, `state`, `issued` and `refused` are ghosts: no step of the code depends on them.
`next` of a message that was taken, and a mark without a holder, are GONE: a walk that follows one is caught.

Options: CONNECTED (else the first write connects), SILENT (connecting never ends by itself), FAILS,
RESETS, CANCELS, REENTERS, DELIVERS (delivering an outcome is a step), FINE (nothing is joined),
LIVENESS. A producer runs nobody's code: outcomes, and the failure of the socket, are told in turns. BREAK_... are mutants: each breaks one rule. docs/verification.md maps steps to code. */

#ifndef PRODUCERS
#define PRODUCERS 3
#endif
#ifndef MESSAGES
#define MESSAGES 2
#endif
#ifndef UNITS
#define UNITS 2
#endif
#ifndef BATCH
#define BATCH 2       /* MAX_BATCH_REQUESTS */
#endif
#ifndef BATCHES
#define BATCHES 2     /* MAX_BATCHES_PER_STEP */
#endif
#ifndef WALK
#define WALK 2        /* MAX_REQUESTS_PER_WALK */
#endif
#ifndef DRAIN
#define DRAIN 1       /* MAX_DRAINED_PER_STEP */
#endif

#define LAST        (PRODUCERS * MESSAGES)
#define CLOSING     (LAST + 1)    /* the close request */
#define BUSY        (LAST + 2)
#define UNCONNECTED (LAST + 3)
#define GONE        (LAST + 4)
#define NONE        0

#define NOBODY            0
#define POSTED            1
#define WAITING_FOR_ROOM  2
#define CONNECTOR         3
#define DISPATCHER        4
#define PRODUCER          5

/* State of a message: not pushed, accepted, its outcome noted, its outcome delivered or refused. */
#define FRESH       0
#define ACCEPTED    1
#define NOTED       2
#define ENDED       3

mtype = { KEEP_WRITE, CLOSE, BEGIN_CONNECT, STOP_CONNECTING };
mtype:descriptor = { ABSENT, OPEN, CLOSED };
mtype:connector = { NOT_MADE, MADE, RACING, OVER };

/* Shared: WriteQueue */
byte head = NONE;
byte next[LAST + 5] = UNCONNECTED;
/* Shared: Socket, Backlog, EventDispatcher */
bit token, error;
short backlog;
byte canceled = NONE;
chan posted = [4] of { mtype };
bit timer;
/* The holder's: WriteQueue, SocketWriter, PendingWrites, WritableWait, Connecting */
byte mark = GONE, cut_off = NONE;
byte pending[LAST + 2], n_pending, n_batch;
byte left[LAST + 2] = UNITS;
bit sent[LAST + 2];
bit retried, is_waiting, is_whole, is_cut, may_go_on;
byte node, taken[LAST + 2], n_taken, n_walked, n_drained;
#ifdef CONNECTED
bit is_connected = 1;
mtype:descriptor fd = OPEN;
#else
bit is_connected;
mtype:descriptor fd = ABSENT;
#endif
mtype:connector step = NOT_MADE;
/* The kernel's */
bit shut, has_room;
byte n;
/* Ghosts */
byte owner = NOBODY, on_wire = NONE, entered, issued, refused;
byte state[LAST + 1];
short notes;
bit told;
/* Scratch of one step */
hidden byte i, j;

/* Steps of which all but one touch only what is this process's or the holder's count as one. */
#ifdef FINE
#define JOINED
#else
#define JOINED atomic
#endif
#define hand(to) is_whole = 0; is_cut = 0; may_go_on = 0; n_drained = 0; n_walked = 0; owner = to
#define post(what) assert(nfull(posted)); posted!what

/* --- WriteQueue --- */

inline exchange(request, older, me) {       /* push: the exchange */
#ifndef BREAK_LINK_FIRST
    older = head;
#endif
    head = request;
    if :: older == NONE -> assert(owner == NOBODY); owner = me :: else fi
}

inline push_new(request, older, me) {       /* try_add, then the exchange */
#ifdef BREAK_LINK_FIRST
    older = head;
#endif
    d_step {
        issued++;
        request = issued;
        state[request] = ACCEPTED;
#ifndef BREAK_COUNT_LATE
        backlog = backlog + UNITS;
#endif
        exchange(request, older, me)
    }
}

inline link(request, older) {               /* push: the link */
#ifndef BREAK_NO_LINK
    next[request] = older;
#endif
#ifndef BREAK_NO_MARK
    if :: older == NONE -> mark = request; next[request] = GONE :: else fi
#endif
}

inline look_back(me) {                      /* take: the exchange, if the last walk was finished */
    d_step {
        assert(owner == me);
        n_walked = 0;
        node = cut_off;
        if :: node == NONE -> node = head; head = BUSY :: else fi
    }
}

inline walk(me) {                           /* take: from link to link, until the mark or a cut */
    do
    :: node != mark && next[node] != UNCONNECTED && n_walked < WALK ->
        d_step {
            assert(owner == me && node <= CLOSING);
            taken[n_taken] = node;
            n_taken++;
            n_walked++;
            j = next[node];
            next[node] = GONE;
            node = j
        }
    :: else ->
        d_step {
            assert(owner == me);
            if
#ifdef BREAK_CUT_WRITTEN
            :: true ->
#else
            :: node == mark ->
#endif
                is_whole = 1;
                cut_off = NONE;
                mark = BUSY;
                retried = 0;
#ifdef BREAK_NEWEST_FIRST
                for (i : 0 .. n_taken / 2 - 1) {
                    j = taken[i];
                    taken[i] = taken[n_taken - 1 - i];
                    taken[n_taken - 1 - i] = j
                }
#endif
                do
                :: n_taken > 0 ->
                    n_taken--;
                    pending[n_pending] = taken[n_taken];
                    taken[n_taken] = 0;
                    n_pending++
                :: else -> break
                od
            :: else ->
                assert(node <= CLOSING);
                is_whole = 0;
                is_cut = (n_walked < WALK);
#ifndef BREAK_CUT_DROPPED
                cut_off = node
#endif
            fi;
            n_walked = 0;
            node = 0
        }
        break
    od
}

inline release(me) {
#ifdef BREAK_LOOK_THEN_RELEASE
    if
    :: cut_off == NONE && head == mark ->
        d_step { head = NONE; mark = GONE; released = 1; hand(NOBODY) }
    :: else
    fi
#else
    d_step {
        assert(owner == me);
        if
#ifdef BREAK_BLIND_RELEASE
        :: true -> head = NONE; mark = GONE; released = 1; hand(NOBODY)
#endif
        :: cut_off == NONE && head == mark -> head = NONE; mark = GONE; released = 1; hand(NOBODY)
        :: else -> released = 0
        fi
    }
#endif
}

/* --- PendingWrites; inside a step of the holder --- */

inline drop_pending(index) {
    j = index;
    n_pending--;
    do
    :: j < n_pending -> pending[j] = pending[j + 1]; j++
    :: else -> break
    od;
    pending[n_pending] = 0
}

inline settle(request) {
    assert(state[request] == ACCEPTED);
#ifdef DELIVERS
    state[request] = NOTED;
    notes = notes | (1 << request);
#else
    state[request] = ENDED;
#endif
    backlog = backlog - UNITS;
    assert(backlog >= 0);
    left[request] = 0;
    sent[request] = 0
}

inline settle_failed(request) {
    assert(state[request] == ACCEPTED && (sent[request] || left[request] == UNITS));
    settle(request)
}

inline next_batch(me) {
    d_step {
        assert(owner == me);
        n_batch = 0;
        do
        :: n_batch < n_pending && n_batch < BATCH ->
            i = pending[n_batch];
            if
#ifdef BREAK_CANCEL_BEGUN
            :: canceled == i ->
#else
            :: canceled == i && !sent[i] ->
#endif
                drop_pending(n_batch); settle_failed(i)
            :: else -> n_batch++
            fi
        :: else -> break
        od
    }
}

inline settle_written(me) {
    d_step {
        assert(owner == me);
        may_go_on = (n_batch == 0);
        do
        :: n_batch > 0 && left[pending[0]] == 0 ->
            i = pending[0];
            drop_pending(0);
            settle(i);
            n_batch--;
            may_go_on = 1
        :: else -> break
        od;
        if
        :: n_batch > 0 && left[pending[0]] < UNITS ->
#ifndef BREAK_NOT_NOTED
            sent[pending[0]] = 1;
#endif
#ifdef BREAK_COUNT_TWICE
            backlog = backlog - (UNITS - left[pending[0]]);
#endif
#ifdef BREAK_SENT_AGAIN
            left[pending[0]] = UNITS;
#endif
            skip
        :: else
        fi;
        n_batch = 0
    }
}

/* --- the kernel --- */

inline put_unit(request) {
    if
    :: left[request] == UNITS ->
        assert(on_wire == NONE);
        i = 1;
        do
        :: i < request -> assert(state[i] != ACCEPTED || left[i] == 0); i++
        :: else -> break
        od;
        on_wire = request
    :: else -> assert(on_wire == request)
    fi;
    left[request]--;
    if :: left[request] == 0 -> on_wire = NONE :: else fi
}

inline cut_into_fd(me) {                    /* one system call; may_go_on == 0: it failed */
    atomic {
        assert(owner == me);
        assert(fd == OPEN);
        if
        :: shut -> may_go_on = 0
#ifdef RESETS
        :: !shut -> shut = 1; may_go_on = 0
#endif
        :: !shut ->
            do
            :: n < n_batch ->
                d_step {
                    put_unit(pending[n]);
                    has_room = 0;
                    if :: left[pending[n]] == 0 -> n++ :: else fi
                }
            :: !has_room -> break
            od;
            may_go_on = 1
        fi;
        n = 0;
        has_room = 0
    }
}

/* --- Socket --- */

inline tell(me) {                           /* report_failure */
    d_step { assert(me == DISPATCHER && owner != me && !told); told = 1 }
}

inline begin_fail(me, won) {
    d_step { won = !token; token = 1 }
#ifdef BREAK_NOT_HELPED
    if :: won -> error = 1 :: else fi;
#else
    error = 1;
#endif
    if
    :: won ->
#ifdef BREAK_CLOSE_AT_ONCE
        if :: fd == OPEN -> fd = CLOSED :: else fi;
#else
        if :: fd == OPEN -> shut = 1 :: else fi;
#endif
#ifdef BREAK_TOLD_AT_ONCE
        tell(me);
#endif
        post(CLOSE);
        won = 0
    :: else
    fi
}

/* --- SocketWriter --- */

inline deliver(me) {                        /* a completion: the outcomes that were reported */
    d_step {
        assert(owner != me && me == DISPATCHER);
        i = 1;
        do
        :: i <= issued ->
            if
            :: notes & (1 << i) -> assert(state[i] == NOTED); state[i] = ENDED
            :: else
            fi;
            i++
        :: else -> break
        od;
        notes = 0
    }
}

inline go_on(me) {                          /* _continue */
#ifdef BREAK_NO_CONTINUE
    d_step { assert(owner == me); hand(POSTED) }
#else
    d_step { assert(owner == me); hand(POSTED); post(KEEP_WRITE) }
#endif
}

inline retry_cut_list(me) {
    d_step {
        assert(owner == me);
        hand(POSTED);
        if
#ifdef BREAK_NO_RETRY
        :: true
#endif
        :: retried -> timer = 1
        :: else -> retried = 1; post(KEEP_WRITE)
        fi
    }
}

inline write_batch(me) {                    /* but what follows when the call failed */
    next_batch(me);
    if
    :: n_batch == 0 -> may_go_on = 1
    :: else ->
        cut_into_fd(me);
        if
        :: may_go_on -> settle_written(me)
        :: else ->
#ifdef BREAK_ENDED_TWICE
            d_step { i = pending[0]; settle_failed(i) }
#endif
            n_batch = 0;
            has_failed = 1
        fi
    fi
}

inline fail_pending(me) {                   /* _drain: a part of what was taken */
    d_step {
        assert(owner == me && me == DISPATCHER);
        has_room = 0;
        do
        :: n_pending > 0 && n_drained < DRAIN ->
            i = pending[0];
            drop_pending(0);
            n_drained++;
            if
            :: i == CLOSING -> assert(fd != CLOSED); fd = CLOSED
            :: i != CLOSING && error -> settle_failed(i)
            :: else
            fi
        :: else -> break
        od
    }
}

inline drain(me) {
    released = 0;
    do
    :: JOINED {
            fail_pending(me);
            if
            :: n_pending == 0 -> release(me)
            :: else
            fi
        }
        if
        :: released -> break
        :: else
        fi;
        if
        :: n_pending == 0 ->
            look_back(me);
#ifdef BREAK_SPINS
            JOINED { walk(me); skip }
#else
            JOINED {
                walk(me);
                if
                :: !is_whole && is_cut -> retry_cut_list(me); break
                :: !is_whole && !is_cut -> n_drained = DRAIN
                :: else
                fi
            }
#endif
        :: else
        fi;
        if
        :: n_drained == DRAIN ->
#ifdef BREAK_REST_FORGOTTEN
            d_step { assert(owner == me); hand(POSTED) }
#else
            go_on(me)
#endif
            ;
            break
        :: else
        fi
    od
}

/* --- the processes --- */

active [PRODUCERS] proctype Producer() {
    byte number, request, older;
    bit has_failed, won, released;
#ifdef REENTERS
    byte inner, below;
#endif
    /* Producers are alike, so it is enough to look at runs in which they come in this order. */
    JOINED { entered == _pid; entered++ }
next_message:
    JOINED {
        released = 0;
        older = 0;
        request = 0;
        if :: number == MESSAGES -> goto done :: else fi;
        number++;
        /* write_request */
        if :: error -> refused++; goto next_message :: else fi;
        skip
    }
    push_new(request, older, PRODUCER + _pid);
#ifdef BREAK_COUNT_LATE
    link(request, older);
    backlog = backlog + UNITS;
#endif
#ifdef REENTERS
    /* A signal handler or destructor writes on top of this thread, and runs to its end. */
    if
    :: number < MESSAGES ->
        JOINED {
            number++;
            if :: error -> refused++; goto over :: else fi;
            skip
        }
        push_new(inner, below, NOBODY);
        JOINED { assert(below != NONE); next[inner] = below; below = 0; inner = 0 }
over:   skip
    :: true
    fi;
#endif
    JOINED {
        link(request, older);
        if :: older != NONE -> goto next_message :: else fi;
        /* _begin */
        d_step { assert(owner == PRODUCER + _pid); pending[n_pending] = request; n_pending++; request = 0 }
        if
        :: is_connected && !error
        :: true -> goto write_deferred      /* _defers_write, or it cannot be written now */
        fi
    }
    JOINED { write_batch(PRODUCER + _pid) }
    if
    :: has_failed -> begin_fail(PRODUCER + _pid, won); has_failed = 0
    :: else
    fi;
write_deferred:
#ifdef BREAK_ENDED_HOLDING
    if :: notes -> deliver(PRODUCER + _pid) :: else fi;
#endif
#ifdef BREAK_DRAINED_BY_PRODUCER
    if :: error -> drain(PRODUCER + _pid); goto next_message :: else fi;
#endif
    /* _hand_over_right */
    if
    :: !is_connected && !error ->
        d_step { assert(owner == PRODUCER + _pid); hand(CONNECTOR); step = MADE }
        post(BEGIN_CONNECT);
#ifndef BREAK_NO_SECOND_LOOK
        if :: error -> post(STOP_CONNECTING) :: else fi
#endif
    :: else ->
        if
        :: n_pending > 0 -> go_on(PRODUCER + _pid)
        :: else ->
            release(PRODUCER + _pid);
            if :: !released -> go_on(PRODUCER + _pid) :: else fi
        fi
    fi;
    goto next_message;
done:
    skip
}

active proctype Dispatcher() {
    byte batches, older;
    bit has_failed, won, released, in_close;
    mtype what;
turn:
    do
    :: JOINED { posted?what;
        if
        :: what == KEEP_WRITE -> d_step { assert(owner == POSTED); owner = DISPATCHER }; goto keep_write
        :: what == CLOSE -> in_close = 1; goto stop_connecting
        :: what == BEGIN_CONNECT ->
            if :: step == MADE -> step = RACING :: else fi
        :: what == STOP_CONNECTING -> goto stop_connecting
        fi }
    :: timer ->
progress_cut_off:
        d_step { timer = 0; assert(owner == POSTED); owner = DISPATCHER }
        goto keep_write
    :: is_waiting ->                            /* on_writable */
        d_step { is_waiting = 0; has_room = 1; assert(owner == WAITING_FOR_ROOM); owner = DISPATCHER }
        goto keep_write
#ifdef DELIVERS
    :: notes -> deliver(DISPATCHER)
#endif
#ifndef SILENT
    :: step == RACING ->                    /* _on_tcp_established, _finish */
        d_step { step = OVER; assert(owner == CONNECTOR); owner = DISPATCHER }
        fd = OPEN;
        is_connected = 1;
        goto keep_write
    :: step == RACING ->                    /* _on_failed, _fail */
        d_step { step = OVER; assert(owner == CONNECTOR); owner = DISPATCHER }
        begin_fail(DISPATCHER, won);
        goto keep_write
#endif
    :: timeout -> break
    od;
    assert(backlog == 0);
    assert(owner == NOBODY && head == NONE && cut_off == NONE);
    assert((on_wire == NONE || error) && issued + refused == LAST);
    assert(!token || fd == CLOSED);
    assert(token == told);
    d_step {
        i = 1;
        do
        :: i <= issued -> assert(state[i] == ENDED); i++
        :: else -> break
        od
    }
    goto done;

stop_connecting:
    JOINED {
        if
        :: step == MADE || step == RACING ->
            d_step { step = OVER; assert(owner == CONNECTOR); owner = DISPATCHER }
        :: else -> goto returned
        fi
    }

keep_write:
    if
    :: error -> drain(DISPATCHER); goto returned
    :: else
    fi;
    do
    :: batches == BATCHES -> go_on(DISPATCHER); break
    :: else ->
        JOINED {
            batches++;
            is_whole = 1;
            if
            :: n_pending < BATCH -> look_back(DISPATCHER)
            :: else -> goto write
            fi
        }
        JOINED {
            walk(DISPATCHER);
            skip
        }
write:
        JOINED { write_batch(DISPATCHER) }
        if
        :: has_failed -> may_go_on = 0; begin_fail(DISPATCHER, won); has_failed = 0
        :: else
        fi;
        if
        :: error -> drain(DISPATCHER); break
        :: !error && !may_go_on ->
            d_step { assert(owner == DISPATCHER); hand(WAITING_FOR_ROOM); is_waiting = 1 }
            break
#ifndef BREAK_SPINS
        :: !error && may_go_on && !is_whole && is_cut -> retry_cut_list(DISPATCHER); break
        :: !error && may_go_on && !is_whole && !is_cut -> go_on(DISPATCHER); break
#endif
        :: else ->
            if
#ifdef BREAK_KEPT_AFTER_POST
            :: n_pending > 0 -> go_on(DISPATCHER)
#endif
            :: n_pending == 0 -> release(DISPATCHER); if :: released -> break :: else fi
            :: else
            fi
        fi
    od;
returned:
    JOINED {
        batches = 0;
        released = 0;
        if
        :: in_close -> in_close = 0
        :: else -> goto turn
        fi
    }
    /* SocketWriter.close */
    if
    :: is_waiting ->
        d_step { is_waiting = 0; assert(owner == WAITING_FOR_ROOM); owner = DISPATCHER }
        drain(DISPATCHER)
    :: else
    fi;
    released = 0;
    d_step { exchange(CLOSING, older, DISPATCHER) }
    link(CLOSING, older);
    if
    :: older == NONE ->
        d_step { assert(owner == DISPATCHER); pending[n_pending] = CLOSING; n_pending++ }
        drain(DISPATCHER)
    :: else -> older = 0
    fi;
    released = 0;
#ifndef BREAK_TOLD_AT_ONCE
    tell(DISPATCHER);
#endif
    goto turn;
done:
    skip
}

#ifdef FAILS
active proctype Failer() {                  /* fail, from any thread, at any time or never */
    bit won;
    begin_fail(PRODUCER + PRODUCERS, won)
}
#endif

#ifdef CANCELS
active proctype Canceller() {               /* WriteRequest.cancel of any one message */
    atomic { select (canceled : 0 .. LAST) }
}
#endif

#ifdef LIVENESS
ltl all_ended { <> (issued + refused == LAST && backlog == 0 && owner == NOBODY) }
#endif
