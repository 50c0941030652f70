#include "inbox.h"

#include "staging.h"

#include <string.h>

uint8_t *inbox_space(struct inbox *inbox, size_t *room) {
    *room = sizeof inbox->bytes - inbox->filled;
    return inbox->bytes + inbox->filled;
}

bool inbox_line_is_open(const struct inbox *inbox) {
    return inbox->phase == INBOX_DONE && !inbox->sealed;
}

static void give_up_precopied(struct inbox *inbox) {
    inbox->take_back |= inbox->precopied;
    inbox->precopied = false;
}

static const char *apply_void(struct inbox *inbox, uint64_t epoch) {
    if (epoch != inbox->epoch) {
        return NULL;
    }
    switch (inbox->phase) {
    case INBOX_ARMED:
        inbox->phase = INBOX_IDLE;
        give_up_precopied(inbox);
        return NULL;
    case INBOX_PAUSED:
        inbox->voided = true;
        return NULL;
    case INBOX_DONE:
        inbox->phase = INBOX_IDLE;
        inbox->take_back = true;
        return NULL;
    case INBOX_IDLE:
        return NULL;
    }
    return "the library's own state is broken";
}

static const char *apply(struct inbox *inbox, const struct vmft_message *m) {
    switch (m->type) {
    case VMFT_ARM:
        if (inbox->phase == INBOX_PAUSED) {
            return "an epoch was armed inside a pause";
        }
        if (inbox_line_is_open(inbox)) {
            return "an epoch was armed before the line of another was drawn";
        }
        if (inbox->precopy_asked || inbox->precopying) {
            return "an epoch was armed before the pre-copy of another had ended";
        }
        if ((m->arg & ~(uint32_t)(VMFT_ARM_DIGESTS | VMFT_ARM_PRECOPY)) != 0) {
            return "an epoch was armed in a way that is unknown here";
        }
        give_up_precopied(inbox);
        inbox->digests_asked = (m->arg & VMFT_ARM_DIGESTS) != 0;
        inbox->precopy_asked = (m->arg & VMFT_ARM_PRECOPY) != 0;
        inbox->phase = INBOX_ARMED;
        inbox->epoch = m->epoch;
        inbox->sealed = false;
        inbox->voided = false;
        return NULL;
    case VMFT_SEALED:
        /* A seal for an epoch that is void may come late. */
        inbox->sealed |= m->epoch == inbox->epoch && inbox->phase == INBOX_DONE;
        return NULL;
    case VMFT_VOID:
        return apply_void(inbox, m->epoch);
    case VMFT_RELEASE:
        return staging_take_back(m->arg) ? NULL : "a slot was released that the engine had not got";
    case VMFT_HARVEST_LIVE:
        if (inbox->live_asked) {
            return "a second live harvest was asked for while one was under way";
        }
        inbox->live_asked = true;
        inbox->live_sequence = m->epoch;
        inbox->live_touched = m->arg == 1;
        return NULL;
    case VMFT_CLOCK_AHEAD:
        inbox->clock_ahead_nanos = m->epoch;
        return NULL;
    case VMFT_FREEZE:
        inbox->freeze_asked = true;
        return NULL;
    default:
        return "a message of unknown type came";
    }
}

const char *inbox_received(struct inbox *inbox, size_t bytes) {
    inbox->filled += bytes;
    size_t whole = inbox->filled / sizeof(struct vmft_message);
    for (size_t i = 0; i < whole; i++) {
        const char *wrong = apply(inbox, &inbox->messages[i]);
        if (wrong != NULL) {
            return wrong;
        }
    }
    size_t used = whole * sizeof(struct vmft_message);
    inbox->filled -= used;
    memmove(inbox->bytes, inbox->bytes + used, inbox->filled);
    return NULL;
}
