package io.vmft.nbd.client.cli;

import static org.assertj.core.api.Assertions.assertThat;

import io.vmft.nbd.client.cli.Sighting.Away;
import io.vmft.nbd.client.cli.Sighting.Served;
import org.junit.jupiter.api.Test;

class SightingTest {
    private final Sighting sighting = new Sighting();

    private static Served at(String address, long generation) {
        return new Served(address, generation == 0 ? "disk" : "disk@" + generation, generation, 4096);
    }

    @Test
    void tellsOnlyWhatChanges() {
        assertThat(sighting.next(at("a:1", 5), 0)).containsExactly("connected  a:1  disk@5  4096 bytes");
        assertThat(sighting.next(at("a:1", 5), 1_000_000_000)).isEmpty();
        assertThat(sighting.next(new Away("a:1: Connection refused"), 2_000_000_000))
                .containsExactly("lost  a:1: Connection refused");
        assertThat(sighting.next(new Away("a:1: Connection refused"), 3_000_000_000L))
                .isEmpty();
        assertThat(sighting.next(at("a:1", 5), 3_500_000_000L))
                .containsExactly("connected  a:1  disk@5, pause 2.500 s");
    }

    @Test
    void tellsATakeover() {
        sighting.next(at("a:1", 5), 0);
        sighting.next(new Away("x"), 100_000_000);
        assertThat(sighting.next(at("b:1", 6), 250_000_000))
                .containsExactly("moved  b:1  disk from generation 5 to 6, pause 0.250 s");
        assertThat(sighting.next(at("a:1", 5), 300_000_000))
                .containsExactly("behind  a:1  disk@5, seen was generation 6");
    }

    @Test
    void tellsThatNothingIsThereOnce() {
        assertThat(sighting.next(new Away("a:1: Connection refused"), 0))
                .containsExactly("not served  a:1: Connection refused");
        assertThat(sighting.next(new Away("a:1: Connection refused"), 1)).isEmpty();
        assertThat(sighting.next(at("a:1", 0), 2)).hasSize(1);
    }

    @Test
    void prefersTheNewestGeneration() {
        assertThat(at("a", 6).isBetterThan(at("b", 5))).isTrue();
        assertThat(at("a", 5).isBetterThan(at("b", 5))).isFalse();
        assertThat(at("a", 0).isBetterThan(new Away("x"))).isTrue();
        assertThat(new Away("x").isBetterThan(at("a", 0))).isFalse();
    }
}
