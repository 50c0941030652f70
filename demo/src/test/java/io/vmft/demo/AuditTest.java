package io.vmft.demo;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;

class AuditTest {
    private static final List<History.Entry> THREE = acknowledged("x", "y", "z");

    @Test
    void aLedgerThatHoldsWhatWasAcknowledgedIsClean() {
        Audit audit = audit("1 x\n2 y\n3 z\n");

        assertThat(audit).isEqualTo(new Audit(3, 0, 0, 0));
        assertThat(audit.isClean()).isTrue();
    }

    @Test
    void aRecordThatIsNotThereIsLost() {
        assertThat(audit("1 x\n2 y\n")).isEqualTo(new Audit(3, 1, 0, 0));
        assertThat(audit("")).isEqualTo(new Audit(3, 3, 0, 0));
    }

    @Test
    void aRecordThatIsThereTwiceIsDuplicated() {
        Audit audit = audit("1 x\n2 y\n3 z\n4 z\n");

        assertThat(audit.duplicated()).isEqualTo(1);
        assertThat(audit.isClean()).isFalse();
    }

    @Test
    void recordsInAnotherOrderAreMisplaced() {
        Audit audit = audit("1 y\n2 x\n3 z\n");

        assertThat(audit).isEqualTo(new Audit(3, 0, 0, 2));
        assertThat(audit.isClean()).isFalse();
    }

    @Test
    void aWrongNumberIsMisplaced() {
        assertThat(audit("1 x\n7 y\n3 z\n").isClean()).isFalse();
    }

    @Test
    void aRecordThatNobodySentIsMisplaced() {
        assertThat(audit("1 x\n2 y\n3 z\n4 stranger\n")).isEqualTo(new Audit(3, 0, 0, 1));
    }

    @Test
    void aRequestWithoutAnAnswerMayBeThereOrNot() {
        List<String> unanswered = List.of("late");

        assertThat(Audit.of("1 x\n2 y\n3 z\n4 late\n", THREE, unanswered).isClean())
                .isTrue();
        assertThat(Audit.of("1 x\n2 y\n3 z\n", THREE, unanswered).isClean()).isTrue();
    }

    @Test
    void aLineWithoutANumberIsMisplaced() {
        assertThat(audit("1 x\ny\n3 z\n").isClean()).isFalse();
    }

    private static Audit audit(String ledger) {
        return Audit.of(ledger, THREE, List.of());
    }

    private static List<History.Entry> acknowledged(String... texts) {
        List<History.Entry> entries = new ArrayList<>();
        for (String text : texts) {
            entries.add(new History.Entry(entries.size() + 1, text, 0));
        }
        return entries;
    }
}
