package io.vmft.kvm;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.nio.file.Path;
import java.time.Duration;
import org.junit.jupiter.api.Test;

class TrackerConfigTest {
    private static TrackerConfig config(
            String socket, long ramBytes, int slots, int pagesPerSlot, Duration pauseTimeout) {
        return new TrackerConfig(
                Path.of(socket),
                Path.of("/t/staging"),
                Path.of("state"),
                Path.of("/t/ram"),
                ramBytes,
                Path.of("/t/blocks"),
                TrackerConfig.MAX_BLOCKS_BYTES,
                slots,
                pagesPerSlot,
                pauseTimeout);
    }

    @Test
    void acceptsItsLimits() {
        config("/c", 4096, 1, 1, Duration.ofNanos(1));
        TrackerConfig largest = config(
                "/" + "c".repeat(106),
                TrackerConfig.MAX_RAM_BYTES,
                TrackerConfig.MAX_SLOTS,
                TrackerConfig.MAX_PAGES_PER_SLOT,
                Duration.ofMinutes(1));
        assertThat(largest.ramPages()).isEqualTo(TrackerConfig.MAX_RAM_BYTES / 4096);
    }

    @Test
    void makesPathsAbsolute() {
        assertThat(config("c", 4096, 1, 1, Duration.ofSeconds(1)).stateFile()).isAbsolute();
    }

    @Test
    void namesWhatIsOutOfRange() {
        Duration second = Duration.ofSeconds(1);
        refused(() -> config("/" + "c".repeat(107), 4096, 1, 1, second), "108");
        refused(() -> config("/" + "ü".repeat(54), 4096, 1, 1, second), "109");
        refused(() -> config("/c", 0, 1, 1, second), "RAM");
        refused(() -> config("/c", 4095, 1, 1, second), "4095");
        refused(() -> config("/c", -4096, 1, 1, second), "-4096");
        refused(() -> config("/c", TrackerConfig.MAX_RAM_BYTES + 4096, 1, 1, second), "RAM");
        refused(
                () -> new TrackerConfig(
                        Path.of("c"), Path.of("s"), Path.of("s"), Path.of("r"), 4096, Path.of("b"), 4097, 1, 1, second),
                "room of 4097 bytes");
        refused(() -> config("/c", 4096, 0, 1, second), "slots 0");
        refused(() -> config("/c", 4096, 129, 1, second), "slots 129");
        refused(() -> config("/c", 4096, 1, 0, second), "pages per slot 0");
        refused(() -> config("/c", 4096, 1, (1 << 17) + 1, second), "pages per slot 131073");
        refused(() -> config("/c", 4096, 1, 1, Duration.ZERO), "PT0S");
        refused(() -> config("/c", 4096, 1, 1, Duration.ofSeconds(61)), "PT1M1S");
    }

    private static void refused(org.assertj.core.api.ThrowableAssert.ThrowingCallable call, String part) {
        assertThatThrownBy(call).isInstanceOf(IllegalArgumentException.class).hasMessageContaining(part);
    }
}
