/* The engine's messages at every split of the stream, out of order, and malformed. */
#include "check.h"
#include "inbox.h"
#include "staging.h"

#include <string.h>

static struct vmft_message message(uint32_t type, uint32_t arg, uint64_t epoch) {
    return (struct vmft_message){.type = type, .arg = arg, .epoch = epoch};
}

static const char *feed(struct inbox *inbox, const void *bytes, size_t length) {
    const uint8_t *from = bytes;
    while (length > 0) {
        size_t room;
        uint8_t *space = inbox_space(inbox, &room);
        CHECK(room > 0);
        size_t n = length < room ? length : room;
        memcpy(space, from, n);
        const char *wrong = inbox_received(inbox, n);
        if (wrong != NULL) {
            return wrong;
        }
        from += n;
        length -= n;
    }
    return NULL;
}

static const char *tell(struct inbox *inbox, uint32_t type, uint32_t arg, uint64_t epoch) {
    struct vmft_message m = message(type, arg, epoch);
    return feed(inbox, &m, sizeof m);
}

static void messages_come_in_any_pieces(void) {
    struct vmft_message stream[] = {
        message(VMFT_ARM, 0, 7),
        message(VMFT_RELEASE, 1, 0),
        message(VMFT_HARVEST_LIVE, 0, 3),
    };
    for (size_t piece = 1; piece <= sizeof stream; piece++) {
        struct inbox inbox = {0};
        staging_reset();
        staging_give(1);
        for (size_t at = 0; at < sizeof stream; at += piece) {
            size_t n = sizeof stream - at < piece ? sizeof stream - at : piece;
            CHECK(feed(&inbox, (uint8_t *)stream + at, n) == NULL);
        }
        CHECK(inbox.phase == INBOX_ARMED && inbox.epoch == 7);
        CHECK(inbox.live_asked && inbox.live_sequence == 3);
        CHECK(!staging_take_back(1));
    }
}

static void more_than_the_buffer_holds_comes_through(void) {
    struct vmft_message many[100];
    for (size_t i = 0; i < 100; i++) {
        many[i] = message(VMFT_ARM, 0, i);
    }
    struct inbox inbox = {0};
    CHECK(feed(&inbox, many, 10) == NULL);
    CHECK(feed(&inbox, (uint8_t *)many + 10, sizeof many - 10) == NULL);
    CHECK(inbox.epoch == 99 && inbox.filled == 0);
}

static void a_seal_counts_only_for_the_epoch_that_ended(void) {
    struct inbox inbox = {0};
    CHECK(tell(&inbox, VMFT_ARM, 0, 5) == NULL);
    CHECK(tell(&inbox, VMFT_SEALED, 0, 5) == NULL);
    CHECK(!inbox.sealed);
    inbox.phase = INBOX_PAUSED;
    CHECK(tell(&inbox, VMFT_SEALED, 0, 5) == NULL);
    CHECK(!inbox.sealed && !inbox_line_is_open(&inbox));
    inbox.phase = INBOX_DONE;
    CHECK(inbox_line_is_open(&inbox));
    CHECK(tell(&inbox, VMFT_SEALED, 0, 4) == NULL);
    CHECK(!inbox.sealed && inbox_line_is_open(&inbox));
    CHECK(tell(&inbox, VMFT_SEALED, 0, 5) == NULL);
    CHECK(inbox.sealed && !inbox.voided && !inbox_line_is_open(&inbox));
    CHECK(tell(&inbox, VMFT_ARM, 0, 6) == NULL);
    CHECK(!inbox.sealed && inbox.phase == INBOX_ARMED);
    /* The next one's line is not drawn by this one's seal. */
    inbox.phase = INBOX_DONE;
    CHECK(inbox_line_is_open(&inbox));
    CHECK(tell(&inbox, VMFT_VOID, 0, 6) == NULL);
    CHECK(!inbox_line_is_open(&inbox) && inbox.take_back);
}

static void a_void_disarms_ends_or_takes_back(void) {
    struct inbox inbox = {0};
    CHECK(tell(&inbox, VMFT_ARM, 0, 5) == NULL);
    CHECK(tell(&inbox, VMFT_VOID, 0, 4) == NULL);
    CHECK(inbox.phase == INBOX_ARMED);
    CHECK(tell(&inbox, VMFT_VOID, 0, 5) == NULL);
    CHECK(inbox.phase == INBOX_IDLE && !inbox.take_back);

    CHECK(tell(&inbox, VMFT_ARM, 0, 6) == NULL);
    inbox.phase = INBOX_PAUSED;
    CHECK(tell(&inbox, VMFT_VOID, 0, 6) == NULL);
    CHECK(inbox.voided && inbox.phase == INBOX_PAUSED && !inbox.take_back);

    inbox.phase = INBOX_IDLE;
    CHECK(tell(&inbox, VMFT_ARM, 0, 7) == NULL);
    CHECK(!inbox.voided);
    inbox.phase = INBOX_DONE;
    CHECK(tell(&inbox, VMFT_VOID, 0, 7) == NULL);
    CHECK(inbox.take_back && inbox.phase == INBOX_IDLE);
    inbox.take_back = false;
    CHECK(tell(&inbox, VMFT_VOID, 0, 7) == NULL);
    CHECK(!inbox.take_back);
}

static void a_void_or_another_epoch_takes_precopied_pages_back(void) {
    struct inbox inbox = {0};
    CHECK(tell(&inbox, VMFT_ARM, VMFT_ARM_PRECOPY, 5) == NULL);
    CHECK(inbox.precopy_asked && !inbox.digests_asked);
    CHECK(tell(&inbox, VMFT_VOID, 0, 5) == NULL);
    /* The engine waits for an answer. */
    CHECK(inbox.phase == INBOX_IDLE && inbox.precopy_asked && !inbox.take_back);
    inbox.precopy_asked = false;

    CHECK(tell(&inbox, VMFT_ARM, VMFT_ARM_PRECOPY | VMFT_ARM_DIGESTS, 6) == NULL);
    CHECK(inbox.precopy_asked && inbox.digests_asked);
    inbox.precopy_asked = false;
    inbox.precopied = true;
    CHECK(tell(&inbox, VMFT_VOID, 0, 5) == NULL);
    CHECK(inbox.precopied && !inbox.take_back);
    CHECK(tell(&inbox, VMFT_VOID, 0, 6) == NULL);
    CHECK(!inbox.precopied && inbox.take_back && inbox.phase == INBOX_IDLE);

    inbox.take_back = false;
    CHECK(tell(&inbox, VMFT_ARM, 0, 7) == NULL);
    inbox.precopied = true;
    CHECK(tell(&inbox, VMFT_ARM, 0, 8) == NULL);
    CHECK(!inbox.precopied && inbox.take_back && inbox.phase == INBOX_ARMED);
}

static void nonsense_is_named(void) {
    struct inbox inbox = {0};
    CHECK(tell(&inbox, 0, 0, 0) != NULL);
    CHECK(tell(&(struct inbox){0}, VMFT_HELLO, 0, 0) != NULL);
    CHECK(tell(&(struct inbox){0}, 0xffffffff, 0, 0) != NULL);
    staging_reset();
    CHECK(tell(&(struct inbox){0}, VMFT_RELEASE, 0, 0) != NULL);
    CHECK(tell(&(struct inbox){0}, VMFT_RELEASE, 4, 0) != NULL);
    CHECK(tell(&(struct inbox){0}, VMFT_RELEASE, 0xffffffff, 0) != NULL);
    CHECK(tell(&(struct inbox){.phase = INBOX_PAUSED}, VMFT_ARM, 0, 1) != NULL);
    CHECK(tell(&(struct inbox){.phase = INBOX_DONE}, VMFT_ARM, 0, 1) != NULL);
    CHECK(tell(&(struct inbox){.precopying = true}, VMFT_ARM, 0, 1) != NULL);
    CHECK(tell(&(struct inbox){.precopy_asked = true}, VMFT_ARM, 0, 1) != NULL);
    CHECK(tell(&(struct inbox){0}, VMFT_ARM, 4, 1) != NULL);
    CHECK(tell(&(struct inbox){.live_asked = true}, VMFT_HARVEST_LIVE, 0, 1) != NULL);
}

int main(void) {
    staging.header.slots = 4;
    messages_come_in_any_pieces();
    more_than_the_buffer_holds_comes_through();
    a_seal_counts_only_for_the_epoch_that_ended();
    a_void_disarms_ends_or_takes_back();
    a_void_or_another_epoch_takes_precopied_pages_back();
    nonsense_is_named();
    return 0;
}
