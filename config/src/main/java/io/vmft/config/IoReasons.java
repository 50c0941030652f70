package io.vmft.config;

import java.io.IOException;
import java.nio.file.AccessDeniedException;
import java.nio.file.NoSuchFileException;

/** An {@link IOException}'s cause in the words of an operator; the JDK's messages often repeat only the path. */
public final class IoReasons {
    private IoReasons() {}

    public static String of(IOException e) {
        return switch (e) {
            case NoSuchFileException missing -> "no such file";
            case AccessDeniedException denied -> "permission denied";
            default -> String.valueOf(e.getMessage());
        };
    }
}
