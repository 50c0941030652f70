package io.vmft.nbd.client.cli;

import java.util.Objects;
import org.jspecify.annotations.Nullable;

/** Parameters that picocli sets before a command is called. */
final class Required {
    private Required() {}

    static <T> T of(@Nullable T parameter) {
        return Objects.requireNonNull(parameter, "picocli does not call a command without its parameters");
    }
}
