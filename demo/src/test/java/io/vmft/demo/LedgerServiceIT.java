package io.vmft.demo;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.net.InetAddress;
import java.net.Socket;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** The guest's ledger, run on this machine. */
@Timeout(30)
class LedgerServiceIT {
    private static final int MAX_CLIENTS = 32;

    @TempDir
    static Path folder = Path.of("");

    private static Path binary = Path.of("");
    private final List<Process> started = new ArrayList<>();
    private static int files;

    @BeforeAll
    static void compile() throws Exception {
        binary = folder.resolve("ledger");
        Command.run(
                "gcc",
                "-std=c17",
                "-O1",
                "-Wall",
                "-Wextra",
                "-Werror",
                "-fsanitize=address,undefined",
                "-fno-sanitize-recover=all",
                "-o",
                binary.toString(),
                "src/main/guest/ledger.c");
    }

    @AfterEach
    void stop() throws InterruptedException {
        for (Process process : started) {
            process.destroyForcibly().waitFor();
        }
        started.clear();
    }

    @Test
    void appendsNumberedRecordsAndReadsThemBack() throws IOException {
        Path file = newFile();
        try (Client client = start(file)) {
            assertThat(client.ask("APPEND one")).isEqualTo("OK 1");
            assertThat(client.ask("APPEND two words")).isEqualTo("OK 2");
            assertThat(client.ask("DUMP")).isEqualTo("DUMP 2 18");
            assertThat(client.line()).isEqualTo("1 one");
            assertThat(client.line()).isEqualTo("2 two words");
        }
        assertThat(file).hasContent("1 one\n2 two words\n");
    }

    @Test
    void answersRequestsThatComeTogetherOrInPieces() throws IOException {
        try (Client client = start(newFile())) {
            client.send("APPEND a\nAPPEND b\nAPP");
            assertThat(client.line()).isEqualTo("OK 1");
            assertThat(client.line()).isEqualTo("OK 2");
            client.send("END c\n");
            assertThat(client.line()).isEqualTo("OK 3");
        }
    }

    @Test
    void goesOnWhereTheFileEndsAndCutsOffHalfARecord() throws IOException {
        Path file = newFile();
        Files.writeString(file, "1 one\n2 two\n3 thr");
        try (Client client = start(file)) {
            assertThat(client.ask("APPEND three")).isEqualTo("OK 3");
        }
        assertThat(file).hasContent("1 one\n2 two\n3 three\n");
    }

    @Test
    void refusesAFileWhoseNumbersDoNotFollow() throws Exception {
        Path file = newFile();
        Files.writeString(file, "1 one\n3 three\n");
        Process process = launch(file);

        assertThat(process.waitFor(10, TimeUnit.SECONDS)).isTrue();
        assertThat(process.exitValue()).isEqualTo(1);
        assertThat(file).hasContent("1 one\n3 three\n");
    }

    @Test
    void refusesWhatItDoesNotUnderstandAndGoesOn() throws IOException {
        try (Client client = start(newFile())) {
            assertThat(client.ask("")).startsWith("ERR");
            assertThat(client.ask("APPEND")).startsWith("ERR");
            assertThat(client.ask("append x")).startsWith("ERR");
            assertThat(client.ask("APPEND a\rb")).startsWith("ERR");
            assertThat(client.ask("APPEND a\0b")).startsWith("ERR");
            assertThat(client.ask("APPEND ü")).startsWith("ERR");
            assertThat(client.ask("APPEND x")).isEqualTo("OK 1");
        }
    }

    @Test
    void dropsAClientWhoseLineNeverEndsAndNobodyElse() throws IOException {
        try (Client good = start(newFile());
                Client bad = good.another()) {
            bad.send("x".repeat(1024));
            assertThat(bad.line()).startsWith("ERR");
            assertThat(bad.line()).isNull();
            assertThat(good.ask("APPEND x")).isEqualTo("OK 1");
        }
    }

    @Test
    void servesSoManyClientsAndNoMore() throws IOException {
        List<Client> clients = new ArrayList<>();
        try (Client first = start(newFile())) {
            assertThat(first.ask("APPEND x")).isEqualTo("OK 1");
            for (int i = 1; i < MAX_CLIENTS; i++) {
                Client next = first.another();
                clients.add(next);
                assertThat(next.ask("APPEND x")).isEqualTo("OK " + (i + 1));
            }
            try (Client tooMany = first.another()) {
                assertThat(tooMany.line()).startsWith("ERR");
                assertThat(tooMany.line()).isNull();
            }
            assertThat(first.ask("APPEND x")).isEqualTo("OK " + (MAX_CLIENTS + 1));
        } finally {
            for (Client client : clients) {
                client.close();
            }
        }
    }

    @Test
    void saysGoodbyeAndEnds() throws Exception {
        try (Client client = start(newFile())) {
            client.ask("APPEND last");
            assertThat(client.ask("SHUTDOWN")).isEqualTo("BYE");
            assertThat(client.line()).isNull();
        }
        Process process = started.getFirst();
        assertThat(process.waitFor(10, TimeUnit.SECONDS)).isTrue();
        assertThat(process.exitValue()).isZero();
    }

    private Path newFile() {
        return folder.resolve("file" + files++);
    }

    private Process launch(Path file) throws IOException {
        Process process = new ProcessBuilder(binary.toString(), file.toString(), "0")
                .redirectError(ProcessBuilder.Redirect.INHERIT)
                .start();
        started.add(process);
        return process;
    }

    private Client start(Path file) throws IOException {
        BufferedReader output = launch(file).inputReader();
        String ready = output.readLine();
        assertThat(ready).startsWith("ledger: ready on port ");
        return new Client(Integer.parseInt(ready.replaceAll(".* port (\\d+),.*", "$1")));
    }

    private static final class Client implements AutoCloseable {
        private final Socket socket;
        private final BufferedReader in;

        Client(int port) throws IOException {
            socket = new Socket(InetAddress.getLoopbackAddress(), port);
            in = new BufferedReader(new InputStreamReader(socket.getInputStream(), StandardCharsets.UTF_8));
        }

        Client another() throws IOException {
            return new Client(socket.getPort());
        }

        void send(String text) throws IOException {
            socket.getOutputStream().write(text.getBytes(StandardCharsets.UTF_8));
        }

        String ask(String line) throws IOException {
            send(line + "\n");
            return line();
        }

        String line() throws IOException {
            return in.readLine();
        }

        @Override
        public void close() throws IOException {
            socket.close();
        }
    }
}
