package io.vmft.bench;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/** How the launcher starts vmft's own programs. */
public enum OwnCommand {
    BLOCK_SERVER("VMFT_STORAGE_JVM", "io.vmft.blk.server.BlkServerMain"),
    ENGINE("VMFT_GUARD_JVM", "io.vmft.engine.EngineMain"),
    /** Fills a block server's journal as one that runs does. */
    JOURNAL_FILLER("VMFT_STORAGE_JVM", "io.vmft.bench.durability.JournalFiller"),
    NBD("VMFT_BRIEF_JVM", "io.vmft.nbd.client.cli.NbdMain");

    /** The environment variable in which the launcher gives the JVM options of such a program. */
    private final String options;

    private final String mainClass;

    OwnCommand(String options, String mainClass) {
        this.options = options;
        this.mainClass = mainClass;
    }

    /** The command with this JVM, these classes and the launcher's options. */
    public List<String> of(List<String> arguments) {
        List<String> command = new ArrayList<>();
        command.add(Path.of(System.getProperty("java.home"), "bin", "java").toString());
        command.addAll(List.of(
                "--enable-native-access=ALL-UNNAMED",
                "--sun-misc-unsafe-memory-access=allow",
                "-XX:+ExitOnOutOfMemoryError"));
        String nativeFolder = System.getProperty("vmft.native.dir");
        if (nativeFolder != null) {
            command.add("-Dvmft.native.dir=" + nativeFolder);
        }
        Arrays.stream(System.getenv().getOrDefault(options, "").split(" ", -1))
                .filter(option -> !option.isBlank())
                .forEach(command::add);
        command.addAll(List.of("-cp", System.getProperty("java.class.path"), mainClass));
        command.addAll(arguments);
        return command;
    }
}
