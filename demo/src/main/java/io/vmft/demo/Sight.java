package io.vmft.demo;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;

/**
 * What an engine says of itself: the part of {@code ft-engine status --json} that the demo looks at. The names are those of the JSON.
 *
 * @param takeOverMillis from suspicion to the VM running; 0 if this engine has not taken over
 */
record Sight(
        String host,
        String role,
        String mode,
        long epoch,
        long epochs,
        double pauseMsP50,
        double pauseMsP99,
        long dirtyPages,
        long heldFrames,
        String accelerator,
        String qemuVersion,
        long qemuPid,
        long enginePid,
        double takeOverMillis) {
    private static final ObjectMapper JSON = new ObjectMapper();

    boolean isPrimary() {
        return role.equals("primary");
    }

    boolean isProtected() {
        return isPrimary() && mode.equals("protected");
    }

    static Sight parse(String json) throws DemoException {
        JsonNode status;
        try {
            status = JSON.readTree(json);
        } catch (JsonProcessingException e) {
            throw new DemoException("an engine's status is no JSON: " + e.getOriginalMessage(), e);
        }
        return new Sight(
                status.path("host").asText(),
                status.path("role").asText(),
                status.path("mode").asText(),
                status.path("epoch").asLong(),
                status.path("epochs").asLong(),
                status.path("pause_ms_p50").asDouble(),
                status.path("pause_ms_p99").asDouble(),
                status.path("dirty_pages_last").asLong(),
                status.path("held_frames").asLong(),
                status.path("accelerator").asText(),
                status.path("qemu_version").asText(),
                status.path("qemu_pid").asLong(),
                status.path("engine_pid").asLong(),
                status.path("last_takeover").path("millis").asDouble());
    }
}
