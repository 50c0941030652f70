package io.vmft.blk.nbd;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import org.junit.jupiter.api.Test;

class MemoryShareTest {
    private static final NbdLimits LIMITS = NbdLimits.DEFAULT.withConnections(100, 128 << 20);

    private static MemoryShare with(int connections) {
        MemoryShare share = new MemoryShare(LIMITS);
        for (int i = 0; i < connections; i++) {
            share.connected();
        }
        return share;
    }

    @Test
    void aFewConnectionsHaveAllTheyMay() {
        assertThat(with(0).inFlightBytes()).isEqualTo(LIMITS.inFlightBytes());
        assertThat(with(16).inFlightBytes()).isEqualTo(LIMITS.inFlightBytes());
        assertThat(with(32).inFlightBytes()).isEqualTo(2 << 20);
    }

    @Test
    void piecesAreLongWhileThereIsRoom() {
        assertThat(with(1).pieceBytes()).isEqualTo(1 << 20);
        assertThat(with(64).pieceBytes()).isEqualTo(512 << 10);
        assertThat(with(100_000).pieceBytes()).isEqualTo(256 << 10);
    }

    @Test
    void whatOneMayGrowsAgainWhenOthersLeave() {
        MemoryShare share = with(64);
        for (int i = 0; i < 32; i++) {
            share.disconnected();
        }
        assertThat(share.inFlightBytes()).isEqualTo(2 << 20);
    }

    @Test
    void allTogetherStayWithinTheMemory() {
        MemoryShare share = with(LIMITS.connections());
        long receivingAndOver = 2L * share.pieceBytes();
        long each = share.inFlightBytes() + share.unsentBytes().high() + receivingAndOver;
        assertThat(each * LIMITS.connections()).isLessThanOrEqualTo(LIMITS.memoryBytes() * 6 / 5);
    }

    @Test
    void tooLittleForTheConnectionsIsRefused() {
        assertThatThrownBy(() -> LIMITS.withConnections(129)).hasMessageContaining("129 connections need 1M each");
        assertThat(LIMITS.withConnections(1000, 1000 << 20).connections()).isEqualTo(1000);
    }
}
