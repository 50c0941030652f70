package io.vmft.engine.qmp;

import com.fasterxml.jackson.databind.JsonNode;

/**
 * Something QEMU reports on its own.
 *
 * @param name such as {@code STOP} or {@code RESUME}
 * @param data the event's members; a missing node if it has none
 * @param timestampMicros QEMU's wall clock when it happened, microseconds since 1970; -1 if QEMU could not tell
 */
public record QmpEvent(String name, JsonNode data, long timestampMicros) {
    static QmpEvent of(JsonNode message) {
        JsonNode timestamp = message.path("timestamp");
        long seconds = timestamp.path("seconds").asLong(-1);
        long micros = timestamp.path("microseconds").asLong(0);
        return new QmpEvent(
                message.path("event").asText(), message.path("data"), seconds < 0 ? -1 : seconds * 1_000_000 + micros);
    }
}
