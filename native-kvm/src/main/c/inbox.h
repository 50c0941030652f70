/* The engine's messages out of a stream of bytes, and what they mean for the epoch under way. No input or output. */
#ifndef VMFT_INBOX_H
#define VMFT_INBOX_H

#include "vmft.h"

#include <stdbool.h>

enum inbox_phase {
    INBOX_IDLE,
    INBOX_ARMED,
    INBOX_PAUSED,
    INBOX_DONE,
};

struct inbox {
    enum inbox_phase phase;
    uint64_t epoch;
    /* Of the epoch in INBOX_DONE: its line is drawn. */
    bool sealed;
    /* Of the epoch in INBOX_PAUSED: it is void. */
    bool voided;
    /* The pause is to report what all of memory holds. */
    bool digests_asked;
    /* What is dirty now is to be copied before the pause. The reader clears it, and answers even if the epoch is not armed any more. */
    bool precopy_asked;
    /* The reader is at it. */
    bool precopying;
    /* And was: the armed epoch has pages. */
    bool precopied;
    bool live_asked;
    uint64_t live_sequence;
    bool live_touched;
    uint64_t clock_ahead_nanos;
    /* The reader answers and clears it. */
    bool freeze_asked;
    /* Set when a checkpoint that has pages will not become one; the reader takes them back and clears it. */
    bool take_back;
    size_t filled;
    union {
        uint8_t bytes[32 * sizeof(struct vmft_message)];
        struct vmft_message messages[32];
    };
};

/* Where to put arriving bytes; *room is never 0. */
uint8_t *inbox_space(struct inbox *inbox, size_t *room);

/* Whether a checkpoint is whole but for its line: nothing may be sent to a disk. */
bool inbox_line_is_open(const struct inbox *inbox);

/* Bytes have been put there: applies every whole message. Returns NULL, or what is wrong with one. */
const char *inbox_received(struct inbox *inbox, size_t bytes);

#endif
