package io.vmft.engine.config;

import java.util.regex.Pattern;

/** What names may look like, so that they are safe in file names, export names and option lists. */
final class Names {
    private static final Pattern NAME = Pattern.compile("[A-Za-z0-9][A-Za-z0-9._-]{0,62}");
    private static final Pattern INTERFACE = Pattern.compile("[A-Za-z0-9_][A-Za-z0-9._-]{0,14}");

    private Names() {}

    static boolean isName(String text) {
        return NAME.matcher(text).matches();
    }

    static boolean isInterface(String text) {
        return INTERFACE.matcher(text).matches();
    }
}
