package io.vmft.engine.qmp;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.awaitility.Awaitility.await;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.net.UnixDomainSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.SocketChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

@Timeout(30)
final class QmpClientTest {
    private static final ObjectMapper JSON = new ObjectMapper();
    private static final Duration LONG = Duration.ofSeconds(20);
    private static final String GREETING =
            "{\"QMP\": {\"version\": {\"qemu\": {\"major\": 7}}, \"capabilities\": [\"oob\"]}}\r\n";

    @TempDir
    Path directory;

    private final List<QmpEvent> events = new CopyOnWriteArrayList<>();
    private final CompletableFuture<Void> exited = new CompletableFuture<>();
    private QmpListener listener;
    private SocketChannel qemu;
    private QmpLines fromClient;

    @BeforeEach
    void connectAsQemuDoes() throws IOException {
        listener = QmpListener.bind(directory.resolve("qmp.sock"));
        qemu = SocketChannel.open(UnixDomainSocketAddress.of(listener.path()));
        fromClient = new QmpLines();
    }

    @AfterEach
    void disconnect() throws IOException {
        qemu.close();
        listener.close();
        assertThat(directory.resolve("qmp.sock")).doesNotExist();
    }

    @Test
    void matchesAnswersToPipelinedCommandsByTheirOrder() throws Exception {
        try (QmpClient client = connected()) {
            CompletableFuture<JsonNode> first =
                    client.execute("qom-get", QmpClient.arguments().put("path", "/machine"));
            CompletableFuture<JsonNode> second = client.execute("stop");
            JsonNode firstAsked = nextCommand();
            JsonNode secondAsked = nextCommand();
            assertThat(firstAsked.path("execute").asText()).isEqualTo("qom-get");
            assertThat(firstAsked.path("arguments").path("path").asText()).isEqualTo("/machine");
            assertThat(secondAsked.has("arguments")).isFalse();
            assertThat(secondAsked.has("id")).isFalse();
            say(Map.of("return", "one"));
            say(Map.of("return", Map.of("n", 2)));
            assertThat(second.get().path("n").asInt()).isEqualTo(2);
            assertThat(first.get().asText()).isEqualTo("one");
        }
    }

    @Test
    void refusalsCarryCommandClassAndDescription() throws Exception {
        try (QmpClient client = connected()) {
            CompletableFuture<JsonNode> answer = client.execute("cont");
            nextCommand();
            say(Map.of("error", Map.of("class", "GenericError", "desc", "it is migrating")));
            assertThatThrownBy(answer::get).cause().isInstanceOfSatisfying(QmpException.class, refused -> {
                assertThat(refused.command()).isEqualTo("cont");
                assertThat(refused.errorClass()).isEqualTo("GenericError");
                assertThat(refused.description()).isEqualTo("it is migrating");
            });
        }
    }

    @Test
    void eventsReachTheListenerAndWhoWaitsForThem() throws Exception {
        try (QmpClient client = connected()) {
            CompletableFuture<QmpEvent> resumed = client.nextEvent("RESUME");
            say("{\"event\": \"STOP\", \"timestamp\": {\"seconds\": 12, \"microseconds\": 34}}");
            say(
                    "{\"event\": \"RESUME\", \"data\": {\"x\": 1}, \"timestamp\": {\"seconds\": -1, \"microseconds\": -1}}");
            QmpEvent event = resumed.get();
            assertThat(event.data().path("x").asInt()).isEqualTo(1);
            assertThat(event.timestampMicros()).isEqualTo(-1);
            await().until(() -> events.size() == 2);
            assertThat(events.getFirst().name()).isEqualTo("STOP");
            assertThat(events.getFirst().timestampMicros()).isEqualTo(12_000_034);
        }
    }

    @Test
    void aFailingListenerDoesNotEndTheConnection() throws Exception {
        try (QmpClient client = connected(event -> {
            throw new IllegalStateException("listener");
        })) {
            say("{\"event\": \"STOP\"}");
            CompletableFuture<JsonNode> answer = client.execute("stop");
            nextCommand();
            say(Map.of("return", Map.of()));
            assertThat(answer.get()).isEmpty();
        }
    }

    @Test
    void whenQemuGoesEverythingWaitingFails() throws Exception {
        try (QmpClient client = connected()) {
            CompletableFuture<JsonNode> answer = client.execute("stop");
            CompletableFuture<QmpEvent> event = client.nextEvent("STOP");
            qemu.close();
            assertThatThrownBy(answer::get).hasCauseInstanceOf(QmpClosedException.class);
            assertThatThrownBy(event::get).hasCauseInstanceOf(QmpClosedException.class);
            assertThat(client.closed().get()).hasMessageContaining("vm1");
            assertThatThrownBy(() -> client.execute("cont").get(10, TimeUnit.SECONDS))
                    .isInstanceOf(ExecutionException.class)
                    .hasCauseInstanceOf(QmpClosedException.class);
            assertThatThrownBy(() -> client.nextEvent("STOP").get(10, TimeUnit.SECONDS))
                    .hasCauseInstanceOf(QmpClosedException.class);
        }
    }

    @Test
    void rubbishEndsTheConnection() throws Exception {
        try (QmpClient client = connected()) {
            say("this is not JSON");
            assertThat(client.closed().get(10, TimeUnit.SECONDS)).isNotNull();
        }
    }

    @Test
    void answersNobodyAskedForAreIgnored() throws Exception {
        try (QmpClient client = connected()) {
            say("{\"return\": {}}");
            say("{\"event\": \"STOP\"}");
            await().until(() -> events.size() == 1);
            CompletableFuture<JsonNode> answer = client.execute("stop");
            nextCommand();
            say("[1, 2]");
            say(Map.of("return", 5));
            assertThat(answer.get().asInt()).isEqualTo(5);
        }
    }

    @Test
    void anAnswerThatDoesNotComeInTimeLeavesTheClientUsable() throws Exception {
        try (QmpClient client = connected()) {
            assertThatThrownBy(() -> client.call("stop", null, Duration.ofMillis(1)))
                    .isInstanceOf(QmpClosedException.class)
                    .hasMessageContaining("did not answer stop within 1 ms");
            CompletableFuture<JsonNode> answer = client.execute("cont");
            say(Map.of("return", 1));
            say(Map.of("return", 2));
            assertThat(answer.get().asInt()).isEqualTo(2);
        }
    }

    @Test
    void waitingEndsWhenQemuEnds() throws Exception {
        try (QmpListener lonely = QmpListener.bind(directory.resolve("lonely.sock"))) {
            exited.complete(null);
            assertThatThrownBy(() -> lonely.accept("vm1", exited, events::add, LONG))
                    .isInstanceOf(QmpClosedException.class)
                    .hasMessageContaining("ended before it connected");
        }
    }

    @Test
    void waitingHasALimit() throws Exception {
        try (QmpListener lonely = QmpListener.bind(directory.resolve("lonely.sock"))) {
            assertThatThrownBy(() -> lonely.accept("vm1", exited, events::add, Duration.ofMillis(20)))
                    .isInstanceOf(QmpClosedException.class)
                    .hasMessageContaining("did not connect");
        }
    }

    @Test
    void silenceAfterConnectingHasALimit() {
        assertThatThrownBy(() -> listener.accept("vm1", exited, events::add, Duration.ofMillis(50)))
                .isInstanceOf(QmpClosedException.class)
                .hasMessageContaining("did not answer greeting");
    }

    @Test
    void replacesASocketThatWasLeftBehind() throws Exception {
        Path path = Files.createFile(directory.resolve("stale.sock"));
        QmpListener.bind(path).close();
        assertThat(path).doesNotExist();
    }

    private QmpClient connected() throws Exception {
        return connected(events::add);
    }

    private QmpClient connected(Consumer<QmpEvent> sink) throws Exception {
        CompletableFuture<Void> negotiated = CompletableFuture.runAsync(() -> {
            try {
                say(GREETING.strip());
                JsonNode command = nextCommand();
                assertThat(command.path("execute").asText()).isEqualTo("qmp_capabilities");
                say(Map.of("return", Map.of()));
            } catch (IOException e) {
                throw new IllegalStateException(e);
            }
        });
        QmpClient client = listener.accept("vm1", exited, sink, LONG);
        negotiated.get();
        return client;
    }

    private JsonNode nextCommand() throws IOException {
        return JSON.readTree(fromClient.next(qemu));
    }

    private void say(Object message) throws IOException {
        String text = message instanceof String string ? string : JSON.writeValueAsString(message);
        ByteBuffer bytes = ByteBuffer.wrap((text + "\r\n").getBytes(StandardCharsets.UTF_8));
        while (bytes.hasRemaining()) {
            qemu.write(bytes);
        }
    }
}
