package io.vmft.blk.nbd;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.stream.Stream;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestFactory;

/** The kept inputs of the fuzzers, as they are and cut off anywhere: quick, without a fuzzer. */
class FuzzCorpusTest {
    /** Folders of kept inputs, by target; {@code HACKING.md} says how they are made. */
    static final Path CORPUS = Path.of("src/test/fuzz");

    private interface Target {
        void take(byte[] input) throws Exception;
    }

    static List<byte[]> inputs(String target) throws IOException {
        try (Stream<Path> files = Files.list(CORPUS.resolve(target))) {
            return files.sorted().map(FuzzCorpusTest::read).toList();
        }
    }

    private static byte[] read(Path file) {
        try {
            return Files.readAllBytes(file);
        } catch (IOException e) {
            throw new java.io.UncheckedIOException(e);
        }
    }

    @TestFactory
    Stream<DynamicTest> everyKeptInputIsHandled() {
        return Stream.of(
                DynamicTest.dynamicTest("session", () -> run("session", SessionFuzzer::fuzzerTestOneInput)),
                DynamicTest.dynamicTest("server", () -> run("server", HostileServerFuzzer::fuzzerTestOneInput)));
    }

    private static void run(String name, Target target) throws Exception {
        List<byte[]> inputs = inputs(name);
        assertThat(inputs).hasSizeGreaterThan(10);
        Random random = new Random(1);
        for (byte[] input : inputs) {
            target.take(input);
            for (int mode = 0; mode < 32; mode++) {
                byte[] cut = Arrays.copyOf(input, 2 + random.nextInt(Math.max(1, input.length - 1)));
                cut[0] = (byte) mode;
                cut[1] = (byte) random.nextInt(256);
                try {
                    target.take(cut);
                } catch (Throwable e) {
                    throw new AssertionError("input " + java.util.HexFormat.of().formatHex(cut), e);
                }
            }
        }
    }

    @Test
    void manyKeptSessionsGetAsFarAsRequests() throws Exception {
        int transmitting = 0;
        for (byte[] input : inputs("session")) {
            byte[] plain = input.clone();
            Arrays.fill(plain, 0, Math.min(1, plain.length), (byte) 0);
            transmitting += SessionFuzzer.requestsOf(plain) > 0 ? 1 : 0;
        }
        assertThat(transmitting).isGreaterThan(50);
    }
}
