/*
 * The epoch and arbiter protocol: two engines, the block server with its arbiter and journal, a guest, and who
 * hears the guest. README.md maps these names to the code, and says what is checked and how to run it.
 *
 * The guest counts. Each step raises its version, in memory and on disk, flushes, and sends the version out; so
 * "the disk as of version 3" and "version 3 was seen" are one byte each.
 *
 * One shared budget, FAULTS, pays for whatever goes wrong; a run may spend it in any mixture and order. Delay needs no
 * budget: any process may be arbitrarily slow at any step.
 */

#ifndef EPOCHS
#define EPOCHS 2    /* checkpoints that may be begun, all sessions together; at most 7 */
#endif
#ifndef STEPS
#define STEPS 2     /* the newest version a guest may reach */
#endif
#ifndef FAULTS
#define FAULTS 2
#endif
#ifndef GENERATIONS
#define GENERATIONS 5   /* no protection begins when as many were given out */
#endif
#define IN_FLIGHT 2     /* protection.max_in_flight */

#define BIT(e)     (1 << (e))
#define PEER       (1 - h)

mtype:mode = { SOLO, SYNCING, PROTECTED };
mtype:role = { OFF, PRIMARY, DOOMED, STANDBY };
/* Of a primary: ALONE to GOING_SOLO. Of a standby: WAITING to TAKING. */
mtype:phase = { NONE, ALONE, BEGINNING, CHECKPOINTING, GOING_SOLO, WAITING, HOLDING, TAKING };
mtype:answer = { IDLE, ASKED, OK, REPEATED, FENCED, DATA_LOST, REFUSED };
mtype:call = { NO_CALL, OPEN, BEGIN, GO_SOLO, TAKE_OVER, SEAL, COMMIT };
mtype:frame = { PREPARE, END, COMMITTED };

/* ---- the block server: the arbiter's record ---- */
byte g = 1;             /* generation */
byte p = 1;             /* primary_generation */
byte s = 0;             /* standby_generation */
byte lastGiven = 1;
mtype:mode mode = SOLO;
byte holder = 0;        /* record.primary: host 0 or 1 */
byte committed = 0;
byte sealed = 0;
byte inFlight = 0;      /* a set of epochs */
bool lost = false;      /* data_lost */
mtype:call changeKind = NO_CALL; /* last_change: enough of it to know it again */
byte changeGen = 0;

/* ---- the block server: the disk ---- */
byte disk = 0;          /* the version a read returns */
byte durable = 0;       /* the newest version that is synced */
byte at[EPOCHS + 1];    /* the version at the boundary of an epoch */

/* ---- hosts ---- */
typedef Host {
    mtype:role role;
    mtype:phase phase;
    byte gen;           /* what it presents (standby: what TakeOver will present) */
    byte export;        /* generation of its QEMU's exports */
    byte version;       /* the guest's memory; of a standby: its image */
    byte out;           /* the newest version the guest gave to its network card */
    bool holding;       /* the net gate */
    bool sealing;       /* a checkpoint is whole but for its seal: what the guest sends to its disk waits */
    byte saved;         /* the version in that checkpoint */
    byte sessionGen;    /* what the checkpoint loop presents */
    byte pause;         /* epoch of the pause */
    byte next;
    byte sent;          /* a set: sent, not complete; of a standby: complete, not folded */
    byte complete;      /* newest */
    byte done;          /* newest committed; of a standby: folded */
    byte committing;
    byte mark[EPOCHS + 1];  /* output up to here belongs to <= e; of a standby: version of the checkpoint */
    bool link;          /* its end of the connection is open */
    mtype:answer seal;  /* one call of each kind under way at a time */
    mtype:answer commit;
    mtype:answer change;
    mtype:call changeCall;
    byte changeFrom;    /* the generation it was asked with */
    byte oldest, newest;
    byte gotGen, gotStandby, gotEpoch;  /* the answer */
}
Host host[2];
chan toStandby[2] = [3] of { mtype:frame, byte, byte };
chan toPrimary[2] = [3] of { byte };

/* A request that the network held back or doubled; it dies with the server's connections. */
mtype:call strayCall = NO_CALL;
byte strayGen, strayEpoch;

byte faults = FAULTS;

/* ---- what nobody in the system knows, for checking only ---- */
byte seen = 0;          /* the newest version somebody outside has */
byte base = 0;          /* the version from which the present holder's history goes on */
byte everSealed = 0;    /* newest of this protection */
byte everComplete = 0;
bool excused = false;   /* too much died: nobody need run the VM */

#define FAULT(condition)  (condition) && faults > 0 -> faults--

/* The guest's disk is served. */
#ifdef IO_UNCHECKED
#define SERVED (!lost)
#else
#define SERVED (!lost && p == me.export)
#endif
#define me host[h]
#define you host[PEER]

/* ---- outside ---- */
inline release(v) {
    /* Whoever no longer holds the VM may only say what its successor knows too. */
    assert(p == me.export || v <= base);
    seen = (v > seen -> v : seen)
}

/* The VM goes on from version v, here and nowhere else. */
inline goOnFrom(v) {
    base = v;
    assert(seen <= base)
}

/* ---- the arbiter's rules ---- */
#define CURRENT(gen)     ((gen) == g)
#define KNOWN(kind, gen) (changeKind == (kind) && changeGen == (gen))

inline remember(kind, gen) {
    changeKind = kind;
    changeGen = gen
}

/* Open, GoSolo: everything that was written stays. */
inline keepAll() {
    durable = disk;
    inFlight = 0
}

inline serveSeal(gen, e, result) {
    if
    :: !CURRENT(gen) -> result = FENCED
    :: CURRENT(gen) && mode == SOLO -> result = REFUSED
    :: CURRENT(gen) && mode != SOLO && lost -> result = DATA_LOST
    :: CURRENT(gen) && mode != SOLO && !lost ->
        if
        :: e == sealed && (inFlight & BIT(e)) -> result = OK
        :: e <= sealed && !(e == sealed && (inFlight & BIT(e))) -> result = REFUSED
        :: e > sealed ->
            sealed = e;
            at[e] = disk;
            inFlight = inFlight | BIT(e);
            everSealed = e;
            result = OK
        fi
    fi
}

#ifdef COMMIT_UNCHECKED
#define MAY_COMMIT(gen) true
#else
#define MAY_COMMIT(gen) CURRENT(gen)
#endif

inline serveCommit(gen, e, result) {
    if
    :: !MAY_COMMIT(gen) -> result = FENCED
    :: MAY_COMMIT(gen) && mode == SOLO -> result = REFUSED
    :: MAY_COMMIT(gen) && mode == PROTECTED && e <= committed -> result = OK
    :: MAY_COMMIT(gen) && mode != SOLO && !(mode == PROTECTED && e <= committed) ->
        if
        :: lost -> result = DATA_LOST
        :: !lost && !(inFlight & BIT(e)) -> result = REFUSED
        :: !lost && (inFlight & BIT(e)) ->
            assert(e <= everComplete && everComplete <= everSealed);
            committed = e;
            inFlight = inFlight & ~(BIT(e + 1) - 1);
            durable = (at[e] > durable -> at[e] : durable);
            mode = PROTECTED;
            result = OK
        fi
    fi
}

/* newestStandingEpoch: the newest of the committed and the sealed ones at or below what the backup has. */
inline standing() {
    chosen = (committed <= me.newest -> committed : 0);
    i = 1;
    do
    :: i <= EPOCHS ->
        if
        :: i <= me.newest && (inFlight & BIT(i)) -> chosen = i
        :: else -> skip
        fi;
        i++
    :: else -> break
    od;
    i = 0
}

#ifdef TAKEOVER_WITHOUT_CAS
#define MAY_TAKE(gen) true
#else
#define MAY_TAKE(gen) (CURRENT(gen) && mode == PROTECTED)
#endif

inline serveChange() {
    chosen = 0;
    if
    :: me.changeCall == OPEN ->
        if
        :: holder != h -> me.change = REFUSED
        :: else ->
            keepAll();
            lastGiven++;
            g = lastGiven; p = g; s = 0;
            mode = SOLO;
            lost = false;
            remember(NO_CALL, 0);
            goOnFrom(disk);
            me.gotGen = g;
            me.change = OK
        fi
    :: me.changeCall == BEGIN ->
        if
        :: KNOWN(BEGIN, me.changeFrom) -> me.gotGen = g; me.gotStandby = s; me.gotEpoch = sealed; me.change = OK
        :: else ->
            if
            :: !CURRENT(me.changeFrom) -> me.change = FENCED
            :: CURRENT(me.changeFrom) && mode != SOLO -> me.change = REFUSED
            :: CURRENT(me.changeFrom) && mode == SOLO && lost -> me.change = DATA_LOST
            :: else ->
                g = lastGiven + 1;
                s = g + 1;
                lastGiven = s;
                mode = SYNCING;
                inFlight = 0;
                everSealed = 0;
                everComplete = 0;
                remember(BEGIN, me.changeFrom);
                me.gotGen = g; me.gotStandby = s; me.gotEpoch = sealed;
                me.change = OK
            fi
        fi
    :: me.changeCall == GO_SOLO ->
        if
        :: KNOWN(GO_SOLO, me.changeFrom) -> me.gotGen = g; me.change = OK
        :: else ->
            if
            :: !CURRENT(me.changeFrom) -> me.change = FENCED
            :: CURRENT(me.changeFrom) && mode == SOLO -> me.change = REFUSED
            :: CURRENT(me.changeFrom) && mode != SOLO && lost -> me.change = DATA_LOST
            :: else ->
                keepAll();
                lastGiven++;
                g = lastGiven; s = 0;
                mode = SOLO;
                remember(GO_SOLO, me.changeFrom);
                me.gotGen = g;
                me.change = OK
            fi
        fi
    :: me.changeCall == TAKE_OVER ->
        if
        :: KNOWN(TAKE_OVER, me.changeFrom) ->
            me.gotGen = g; me.gotEpoch = committed; me.change = OK
        :: else ->
            standing();
            if
            :: !MAY_TAKE(me.changeFrom) && !CURRENT(me.changeFrom) -> me.change = FENCED
            :: !MAY_TAKE(me.changeFrom) && CURRENT(me.changeFrom) -> me.gotGen = g; me.change = REFUSED
            :: MAY_TAKE(me.changeFrom) && chosen < me.oldest -> me.change = REFUSED
            :: else ->
                /* The backup can go there, nothing safe is left behind, and disk and memory are of one moment. */
                assert(chosen == me.done || (me.sent & BIT(chosen)));
                assert(chosen >= committed);
#ifndef KEEP_ON_TAKEOVER
                disk = at[chosen];
#endif
                assert(disk == (chosen == me.done -> me.version : me.mark[chosen]));
                goOnFrom(disk);
                durable = disk;
                committed = chosen;
                inFlight = 0;
                g = me.export; p = g; s = 0;
                mode = SOLO;
                holder = h;
                lost = false;
                remember(TAKE_OVER, me.changeFrom);
                me.gotGen = g; me.gotEpoch = chosen;
                me.change = OK
            fi
        fi
    :: else -> skip
    fi;
    chosen = 0
}

proctype Server(byte h) {
    byte i, chosen;
end:
    do
    :: d_step { me.seal == ASKED -> serveSeal(me.sessionGen, me.pause, me.seal) }
    :: d_step { me.commit == ASKED -> serveCommit(me.sessionGen, me.committing, me.commit) }
    :: d_step { me.change == ASKED -> serveChange() }
    od
}

/* ---- connections between the engines ---- */
inline clear(c) {
    do
    :: len(c) > 0 -> c?_,_,_
    :: else -> break
    od
}

inline clearAcks(c) {
    do
    :: len(c) > 0 -> c?_
    :: else -> break
    od
}

/* What comes in is dropped; what went out may still be read by the other side. */
inline closeLink() {
    me.link = false;
    clear(toStandby[h]);
    clearAcks(toPrimary[h]);
    if
    :: !you.link -> clear(toStandby[PEER]); clearAcks(toPrimary[PEER])
    :: else -> skip
    fi
}

/* ---- the end of an engine's role; requests under way stay under way ---- */
inline forget() {
    me.phase = NONE;
    me.gen = 0; me.export = 0; me.version = 0; me.out = 0;
    me.holding = false; me.sealing = false;
    me.next = 0; me.sent = 0; me.complete = 0; me.done = 0;
    me.oldest = 0; me.newest = 0;
    i = 0;
    do
    :: i <= EPOCHS -> me.mark[i] = 0; i++
    :: else -> break
    od;
    i = 0;
    closeLink()
}

inline endRole(next) {
    forget();
    me.role = next
}

inline asStandby() {
    endRole(STANDBY);
    me.phase = WAITING
}

/* Answers that came, or will come, to an engine that forgot the question. */
#define AT_REST (me.seal == IDLE && me.commit == IDLE && me.change == IDLE)

inline dropAnswers() {
    if
    :: me.seal != ASKED -> me.seal = IDLE
    :: else -> skip
    fi;
    if
    :: me.commit != ASKED -> me.commit = IDLE
    :: else -> skip
    fi;
    if
    :: me.change != ASKED -> me.change = IDLE; me.changeCall = NO_CALL; me.changeFrom = 0;
        me.gotGen = 0; me.gotStandby = 0; me.gotEpoch = 0
    :: else -> skip
    fi;
    if
    :: me.seal == IDLE && me.commit == IDLE -> me.pause = 0; me.committing = 0; me.sessionGen = 0
    :: else -> skip
    fi
}

inline ask(kind) {
    me.changeCall = kind;
    me.changeFrom = me.gen;
    me.change = ASKED
}

inline answered() {
    me.change = IDLE; me.changeCall = NO_CALL; me.changeFrom = 0;
    me.gotGen = 0; me.gotStandby = 0; me.gotEpoch = 0
}

/* ---- CheckpointPipeline ---- */
inline commitNext() {
    if
    :: me.committing == 0 && me.complete > me.done ->
        me.committing = me.complete;
        me.commit = ASKED;
#ifdef RELEASE_BEFORE_COMMIT
        release(me.mark[me.committing]);
#endif
    :: else -> skip
    fi
}

#define COUNT(set)  ((((set) >> 1) & 1) + (((set) >> 2) & 1) + (((set) >> 3) & 1) + (((set) >> 4) & 1))
#define CAN_PAUSE   (!me.sealing && COUNT(me.sent) + (me.complete > me.done -> 1 : 0) < IN_FLIGHT)
#define RUNS        (me.role == PRIMARY)
#ifdef WRITE_EARLY
#define DISK_WAITS  false
#else
#define DISK_WAITS  me.sealing
#endif
/* Its disk has what its memory says: a write that waited is under way otherwise. */
#define DRAINED     (me.version == disk)

inline sendEnd() {
    if
    :: you.link -> toStandby[PEER]!END(me.pause, me.saved)
    :: else -> skip
    fi;
    me.sent = me.sent | BIT(me.pause);
    me.sealing = false;
#ifdef COMMIT_BEFORE_COMPLETE
    me.sent = 0;
    me.complete = me.pause;
    commitNext();
#endif
}

/* The session is over: the arbiter is asked before output may go. */
inline endSession() {
    closeLink();
    me.phase = GOING_SOLO;
    me.sealing = false;
    ask(GO_SOLO);
#ifdef SOLO_WITHOUT_CAS
    me.holding = false;
    release(me.out);
#endif
}

#ifdef NO_ROLL_BACK
inline dataLost() { me.sealing = false }
#else
/* The storage host lost what this guest wrote: it ends here, at once. Who goes on is the arbiter's to say. */
inline dataLost() {
    forget();
    dropAnswers();
    me.role = DOOMED
}
#endif

inline fenced() {
    endRole(OFF);
    dropAnswers()
}

/* The storage host comes back, and says so to whoever asks. */
#ifdef NO_ROLL_BACK
#define TOLD false
#else
#define TOLD (lost && holder == h)
#endif

proctype Primary(byte h) {
    byte e, i;
end:
    do
    /* The guest: writes, then flushes and sends. Its memory goes on while its disk waits. */
    :: d_step { RUNS && !DISK_WAITS && me.version < STEPS && me.out == me.version && SERVED ->
        assert(disk == me.version);
        me.version++;
        disk = me.version
    }
    :: d_step { RUNS && DISK_WAITS && me.version < STEPS && me.out == me.version && DRAINED ->
        me.version++
    }
    :: d_step { RUNS && !DISK_WAITS && SERVED && me.version == disk + 1 ->
        disk = me.version
    }
    :: d_step { RUNS && !DISK_WAITS && me.out < me.version && DRAINED && SERVED ->
#ifndef FLUSH_EARLY
        durable = (mode != PROTECTED -> disk : durable);
#endif
        me.out = me.version;
        if
        :: !me.holding -> release(me.out)
        :: else -> skip
        fi
    }

    /* Protection begins. */
    :: d_step { me.role == PRIMARY && me.phase == ALONE && AT_REST && lastGiven < GENERATIONS &&
            you.role == STANDBY && you.phase == WAITING && !me.link && !you.link &&
            you.seal == IDLE && you.commit == IDLE && you.change == IDLE ->
        me.link = true;
        you.link = true;
        me.phase = BEGINNING;
        ask(BEGIN)
    }
    :: d_step { me.phase == BEGINNING && me.change == OK ->
        me.gen = me.gotGen;
        me.sessionGen = me.gen;
        me.next = me.gotEpoch + 1;
        me.sent = 0; me.complete = 0; me.done = 0; me.committing = 0;
        e = me.gotStandby;
        answered();
        if
        :: you.link && me.link -> toStandby[PEER]!PREPARE(me.gen, e); me.phase = CHECKPOINTING
        :: else -> endSession()
        fi;
        e = 0
    }
    :: d_step { me.phase == BEGINNING && me.change == REFUSED -> closeLink(); answered(); me.phase = ALONE }

    /* A checkpoint: mark and pause; then the guest goes on, its disk when the epoch is sealed, and the end is sent. A mark that was made earlier, as the engine's, only gives what was said meanwhile to the next epoch. */
    :: d_step { me.role == PRIMARY && me.phase == CHECKPOINTING && CAN_PAUSE && me.next <= EPOCHS &&
            me.seal == IDLE && me.link && (DRAINED || !SERVED) ->
        me.pause = me.next;
        me.next++;
        me.sealing = true;
        me.saved = me.version;
        me.holding = true;
        me.mark[me.pause] = me.out;
        me.seal = ASKED;
#ifdef SKIP_SEAL
        sendEnd();
#endif
    }
#ifdef SKIP_SEAL
    :: d_step { me.role == PRIMARY && me.seal == OK -> me.seal = IDLE }
#else
    :: d_step { me.role == PRIMARY && me.phase == CHECKPOINTING && me.sealing && me.seal == OK && nfull(toStandby[PEER]) ->
        me.seal = IDLE;
        sendEnd()
    }
    :: d_step { FAULT(me.role == PRIMARY && me.phase == CHECKPOINTING && me.sealing && me.seal == OK) ->
        /* the answer came too late, or the library could not copy: void */
        me.seal = IDLE;
        me.sealing = false
    }
    :: d_step { FAULT(me.role == PRIMARY && me.phase == CHECKPOINTING && me.sealing && me.seal == ASKED) ->
        /* no answer in time, and the request is lost */
        me.seal = IDLE;
        me.sealing = false
    }
    :: d_step { FAULT(me.role == PRIMARY && me.phase == CHECKPOINTING && me.sealing && me.seal == ASKED && strayCall == NO_CALL) ->
        /* no answer in time, and the request is late */
        strayCall = SEAL; strayGen = me.sessionGen; strayEpoch = me.pause;
        me.seal = IDLE;
        me.sealing = false
    }
#endif
    :: d_step { me.role == PRIMARY && me.phase == CHECKPOINTING && me.seal == REFUSED -> me.seal = IDLE; me.sealing = false }

    :: d_step { me.role == PRIMARY && me.link && toPrimary[h]?[e] ->
        toPrimary[h]?e;
#ifndef COMMIT_BEFORE_COMPLETE
        if
        :: me.phase == CHECKPOINTING ->
            assert(me.sent & BIT(e));
            me.sent = me.sent & ~BIT(e);
            me.complete = e;
            commitNext()
        :: else -> skip
        fi;
#endif
        e = 0
    }
    :: d_step { me.role == PRIMARY && me.phase == CHECKPOINTING && me.commit == OK && nfull(toStandby[PEER]) ->
        me.commit = IDLE;
        me.done = me.committing;
        me.committing = 0;
#ifdef MARK_LATE
        release(me.out);
#else
        release(me.mark[me.done]);
#endif
        if
        :: you.link -> toStandby[PEER]!COMMITTED(me.done, 0)
        :: else -> skip
        fi;
        commitNext()
    }
    :: d_step { me.role == PRIMARY && me.phase == CHECKPOINTING && me.commit == REFUSED -> me.commit = IDLE; endSession() }

    /* The backup is lost. While BEGIN is under way its answer ends the session. */
    :: d_step { me.role == PRIMARY && me.phase == CHECKPOINTING && me.link && !you.link -> endSession() }
    :: d_step { FAULT(me.role == PRIMARY && me.phase == CHECKPOINTING && me.link && you.link) -> endSession() }
    :: d_step { me.role == PRIMARY && me.phase == BEGINNING && me.link && !you.link -> closeLink() }
    :: d_step { me.role == PRIMARY && me.phase == GOING_SOLO && me.change == OK ->
        me.gen = me.gotGen;
        answered();
        me.phase = ALONE;
        me.holding = false;
        me.sent = 0; me.complete = 0; me.done = 0; me.next = 0;
        release(me.out)
    }
    /* Answers to a session that is over. */
    :: d_step { me.role == PRIMARY && me.phase != CHECKPOINTING && me.seal != IDLE && me.seal != ASKED -> me.seal = IDLE }
    :: d_step { me.role == PRIMARY && me.phase != CHECKPOINTING && me.commit != IDLE && me.commit != ASKED ->
        me.commit = IDLE;
        me.committing = 0
    }

    /* Another host runs the VM, or the storage host lost its data. */
    :: d_step { me.role == PRIMARY && ((me.phase == CHECKPOINTING && (me.seal == FENCED || me.commit == FENCED)) ||
            me.change == FENCED || (me.phase == GOING_SOLO && me.change == REFUSED)) -> fenced() }
    :: d_step { me.role == PRIMARY && me.phase == CHECKPOINTING && me.seal == DATA_LOST -> me.seal = IDLE; dataLost() }
    :: d_step { me.role == PRIMARY && me.phase == CHECKPOINTING && me.commit == DATA_LOST -> me.commit = IDLE; me.committing = 0; dataLost() }
    :: d_step { me.role == PRIMARY && me.change == DATA_LOST -> answered(); dataLost() }
    :: d_step { me.role == PRIMARY && TOLD -> dataLost() }

    /* DOOMED waits for its backup, and when that does not come, boots the VM from the disk. */
    :: d_step { me.role == DOOMED && holder != h && me.change != ASKED -> fenced() }
    :: d_step { me.role == DOOMED && me.changeCall != OPEN && me.change != IDLE && me.change != ASKED -> answered() }
    :: d_step { me.role == DOOMED && ((me.seal != IDLE && me.seal != ASKED) || (me.commit != IDLE && me.commit != ASKED)) -> dropAnswers() }
    :: d_step { me.role == DOOMED && holder == h && AT_REST -> ask(OPEN) }
    :: d_step { (me.role == DOOMED || (me.role == OFF && me.changeCall == OPEN)) && me.change == REFUSED -> fenced() }
    :: d_step { me.change == OK && me.changeCall == OPEN && p == me.gotGen ->
        e = me.gotGen;
        forget();
        answered();
        dropAnswers();
        me.role = PRIMARY;
        me.phase = ALONE;
        me.gen = e;
        me.export = e;
        me.version = disk;
        me.out = disk;
        e = 0
    }
    :: d_step { me.change == OK && me.changeCall == OPEN && p != me.gotGen -> fenced() }

    /* An operator boots the VM where it ran. */
    :: d_step { FAULT(me.role == OFF && holder == h && AT_REST) -> ask(OPEN) }
    od
}

/* Of a refusal: the record that came with it was SYNCING. */
#ifdef GIVE_UP_TAKEOVER
#define STILL_SYNCING false
#else
#define STILL_SYNCING (me.gotGen != 0)
#endif

/* Suspicion: with a checkpoint in hand the arbiter is asked; without one there is nothing to take over. */
inline suspect() {
    closeLink();
    if
    :: me.phase == HOLDING && me.complete > 0 ->
        me.phase = TAKING;
        me.newest = me.complete;
        me.oldest = me.done;
        if
        :: me.oldest == 0 -> i = EPOCHS;
            do
            :: i >= 1 ->
                if
                :: me.sent & BIT(i) -> me.oldest = i
                :: else -> skip
                fi;
                i--
            :: else -> break
            od;
            i = 0
        :: else -> skip
        fi;
        ask(TAKE_OVER)
    :: else -> asStandby()
    fi
}

proctype Standby(byte h) {
    byte e, v, i;
end:
    do
    :: d_step { me.role == STANDBY && me.link && toStandby[h]?[PREPARE, e, v] ->
        toStandby[h]?PREPARE(e, v);
        me.gen = e;
        me.export = v;
        me.phase = HOLDING;
        e = 0; v = 0
    }
    :: d_step { me.role == STANDBY && me.link && toStandby[h]?[END, e, v] && nfull(toPrimary[PEER]) ->
        toStandby[h]?END(e, v);
        me.sent = me.sent | BIT(e);
        me.mark[e] = v;
        me.complete = e;
        if
        :: CURRENT(me.gen) -> everComplete = e; assert(lost || e <= everSealed)
        :: else -> skip
        fi;
        if
        :: you.link -> toPrimary[PEER]!e
        :: else -> skip
        fi;
#ifdef FOLD_EARLY
        me.version = me.mark[e];
        me.done = e;
        me.sent = 0;
#endif
        e = 0; v = 0
    }
    :: d_step { me.role == STANDBY && me.link && toStandby[h]?[COMMITTED, e, v] ->
        toStandby[h]?COMMITTED(e, v);
        assert(e <= me.complete && e <= committed);
#ifndef FOLD_EARLY
        if
        :: me.sent & BIT(e) ->
            me.version = me.mark[e];
            me.done = e;
            me.sent = me.sent & ~(BIT(e + 1) - 1)
        :: else -> assert(e == me.done)
        fi;
#endif
        e = 0; v = 0
    }

    /* The primary is gone, seems gone, or cannot go on. */
    :: d_step { me.role == STANDBY && me.link && !you.link -> suspect() }
    :: d_step { FAULT(me.role == STANDBY && me.link && you.link) -> suspect() }
#ifndef NO_ROLL_BACK
    :: d_step { me.role == STANDBY && me.phase == HOLDING && me.complete > 0 && lost && CURRENT(me.gen) && mode == PROTECTED ->
        suspect()
    }
#endif
    :: d_step { me.role == STANDBY && me.phase == TAKING && me.change == OK ->
        e = me.gotEpoch;
        if
        :: e != me.done -> me.version = me.mark[e]
        :: else -> skip
        fi;
        v = me.version;
        e = me.gotGen;
        forget();
        answered();
        me.role = PRIMARY;
        me.phase = ALONE;
        me.gen = e;
        me.export = e;
        me.version = v;
        me.out = v;
        e = 0; v = 0
    }
    :: d_step { me.role == STANDBY && me.phase == TAKING && (me.change == FENCED || (me.change == REFUSED && !STILL_SYNCING)) ->
        answered();
        asStandby()
    }
    /* The first commit may be on its way. It asks again and again; the model, when the answer would be another. */
    :: d_step { me.role == STANDBY && me.phase == TAKING && me.change == REFUSED && STILL_SYNCING && !(CURRENT(me.changeFrom) && mode == SYNCING) ->
        me.change = ASKED;
        me.gotGen = 0
    }

    /* An engine that ended is started again. */
    :: d_step { me.role == OFF && me.changeCall != OPEN && (me.seal != ASKED && me.commit != ASKED && me.change != ASKED) -> dropAnswers(); asStandby() }
    od
}

proctype Faults(byte h) {
    byte i;
end:
    do
    /* The host dies, and everything on it. */
    :: d_step { FAULT(me.role != OFF) ->
        if
        :: holder == h && me.role != STANDBY &&
                !(mode == PROTECTED && you.role == STANDBY && you.gen == g &&
                    ((you.phase == HOLDING && you.complete > 0) || you.phase == TAKING)) ->
            excused = true
        :: me.role == STANDBY && (holder == h || (you.role != PRIMARY && you.role != DOOMED)) -> excused = true
        :: else -> skip
        fi;
        endRole(OFF);
        me.change = IDLE; /* what it asked is lost, or was served just before */
        dropAnswers()
    }
    /* What a dead host asked is lost on the way. */
    :: d_step { me.role == OFF && me.seal == ASKED && me.changeCall != OPEN -> me.seal = IDLE; dropAnswers() }
    :: d_step { me.role == OFF && me.commit == ASKED && me.changeCall != OPEN -> me.commit = IDLE; dropAnswers() }

    /* An answer is lost; the question is asked again. */
    :: d_step { FAULT(me.role != OFF && me.change != IDLE && me.change != ASKED) ->
        me.change = ASKED;
        me.gotGen = 0; me.gotStandby = 0; me.gotEpoch = 0
    }
    :: d_step { FAULT(me.role == PRIMARY && me.phase == CHECKPOINTING && me.commit != IDLE && me.commit != ASKED) -> me.commit = ASKED }

    /* A commit is doubled, or comes late when its session is over. */
    :: d_step { FAULT(me.commit == ASKED && strayCall == NO_CALL) ->
        strayCall = COMMIT; strayGen = me.sessionGen; strayEpoch = me.committing
    }
    od
}

/* Answers that were under way when the server died are asked for again, but a seal's. */
inline loseAnswers() {
    i = 0;
    do
    :: i < 2 ->
        if
        :: host[i].seal != IDLE && host[i].sealing && host[i].role == PRIMARY -> host[i].seal = IDLE; host[i].sealing = false
        :: else -> skip
        fi;
        if
        :: host[i].commit != IDLE && host[i].role == PRIMARY -> host[i].commit = ASKED
        :: else -> skip
        fi;
        if
        :: host[i].change != IDLE && host[i].role != OFF -> host[i].change = ASKED;
            host[i].gotGen = 0; host[i].gotStandby = 0; host[i].gotEpoch = 0
        :: else -> skip
        fi;
        i++
    :: else -> break
    od;
    i = 0;
    strayCall = NO_CALL; strayGen = 0; strayEpoch = 0
}

#ifdef POWER_AS_KILL
inline losePower() {
    /* Recovery takes the journal's word for what is gone. */
    disk = (mode == PROTECTED -> at[committed] : durable)
}
#else
inline losePower() {
    disk = (mode == PROTECTED -> at[committed] : durable);
    inFlight = 0;
    sealed = (mode == PROTECTED -> committed : sealed);
    lost = true;
#ifdef FORGET_LAST_CHANGE
    remember(NO_CALL, 0);
#endif
}
#endif

proctype Storage() {
    byte i;
    mtype:answer ignored;
end:
    do
    :: d_step { strayCall == SEAL -> serveSeal(strayGen, strayEpoch, ignored); ignored = IDLE;
        strayCall = NO_CALL; strayGen = 0; strayEpoch = 0 }
    :: d_step { strayCall == COMMIT -> serveCommit(strayGen, strayEpoch, ignored); ignored = IDLE;
        strayCall = NO_CALL; strayGen = 0; strayEpoch = 0 }

    /* SIGKILL and restart: what was acknowledged is in the page cache. Between the two nothing happens that could not
       happen before or after. Answers may have left in time or not. */
    :: d_step { FAULT(true) -> loseAnswers() }
    /* Power loss: what was not synced is gone, or, where it does not matter to the rules, happens to be there. */
    :: d_step { FAULT(true) -> loseAnswers(); losePower() }
    :: d_step { FAULT(true) -> losePower(); strayCall = NO_CALL; strayGen = 0; strayEpoch = 0 }
#ifndef POWER_AS_KILL
    :: d_step { FAULT(mode != PROTECTED && durable < disk) -> i = disk; loseAnswers(); i = disk; losePower(); disk = i; i = 0 }
#endif
    od
}

/* Nothing can happen any more: then the VM runs, unless too much died. */
proctype Watcher() {
    byte h;
    timeout;
    d_step {
        if
        :: excused -> skip
        :: else ->
            h = holder;
            assert(me.role == PRIMARY && !me.sealing && SERVED && (me.phase == CHECKPOINTING || !me.holding))
        fi
    }
}

init {
    atomic {
        byte h;
        h = 0;
        do
        :: h < 2 ->
            me.seal = IDLE; me.commit = IDLE; me.change = IDLE; me.changeCall = NO_CALL;
            h++
        :: else -> break
        od;
        host[0].role = PRIMARY; host[0].phase = ALONE; host[0].gen = 1; host[0].export = 1;
        host[1].role = STANDBY; host[1].phase = WAITING;
        run Server(0); run Server(1);
        run Primary(0); run Primary(1);
        run Standby(0); run Standby(1);
        run Faults(0); run Faults(1);
        run Storage();
        run Watcher()
    }
}
