package io.vmft.engine.monitor;

import io.vmft.engine.EngineException;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.net.UnixDomainSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.Channels;
import java.nio.channels.SocketChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;

/** Asks a running engine one thing. */
public final class MonitorClient {
    private MonitorClient() {}

    /**
     * Sends one line and waits for the answer, for as long as the engine takes.
     *
     * @return what follows {@code ok}
     * @throws EngineException if the engine says {@code error}, or there is none
     */
    public static String ask(Path socket, String vm, String line) throws EngineException {
        try (SocketChannel connection = SocketChannel.open(UnixDomainSocketAddress.of(socket))) {
            ByteBuffer request = ByteBuffer.wrap((line + "\n").getBytes(StandardCharsets.UTF_8));
            while (request.hasRemaining()) {
                connection.write(request);
            }
            String answer = new BufferedReader(
                            new InputStreamReader(Channels.newInputStream(connection), StandardCharsets.UTF_8))
                    .readLine();
            if (answer == null) {
                throw new EngineException(vm + ": the engine ended while it was asked");
            }
            if (answer.startsWith("ok ")) {
                return answer.substring(3);
            }
            throw new EngineException(answer.startsWith("error ") ? answer.substring(6) : answer);
        } catch (IOException e) {
            throw new EngineException(
                    vm + ": no engine answers on " + socket + " (" + e.getMessage()
                            + "); is it running, and with this --run-dir?",
                    e);
        }
    }
}
