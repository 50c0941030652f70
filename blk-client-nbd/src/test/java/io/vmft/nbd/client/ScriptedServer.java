package io.vmft.nbd.client;

import java.io.DataInputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.util.HexFormat;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;

/** A server that says literal bytes: to one client, on its own thread. */
final class ScriptedServer implements AutoCloseable {
    static final String GREETING = "4e42444d41474943 49484156454F5054 0003";
    static final String OPTION_REPLY = "0003e889045565a9";

    /** What the server does, step by step. */
    @FunctionalInterface
    interface Script {
        void run(Session session) throws IOException;
    }

    /** The conversation with the client. */
    record Session(DataInputStream in, OutputStream out) {
        void send(String hex) throws IOException {
            out.write(HexFormat.of().parseHex(hex.replace(" ", "")));
            out.flush();
        }

        /** Takes bytes from the client; as hexadecimal digits. */
        String take(int bytes) throws IOException {
            return HexFormat.of().formatHex(in.readNBytes(bytes));
        }

        /** Takes an option, returns its number. */
        int takeOption() throws IOException {
            in.readNBytes(8);
            int option = in.readInt();
            in.readNBytes(in.readInt());
            return option;
        }

        /** Takes a request's header, returns its cookie's hexadecimal digits. */
        String takeRequest() throws IOException {
            in.readNBytes(8);
            String cookie = take(8);
            in.readNBytes(12);
            return cookie;
        }

        /** Refuses extended headers and structured replies. */
        void refuseHeaders() throws IOException {
            takeOption();
            send(OPTION_REPLY + "0000000b 80000001 00000000");
            takeOption();
            send(OPTION_REPLY + "00000008 80000001 00000000");
        }

        /** The whole handshake up to an export of 1 MiB with structured replies. */
        void handshake() throws IOException {
            send(GREETING);
            take(4);
            takeOption();
            send(OPTION_REPLY + "0000000b 80000001 00000000");
            takeOption();
            send(OPTION_REPLY + "00000008 00000001 00000000");
            takeOption();
            send(OPTION_REPLY + "00000007 00000003 0000000c 0000 0000000000100000 0001");
            send(OPTION_REPLY + "00000007 00000001 00000000");
        }
    }

    private final ServerSocket listener;
    private final CompletableFuture<Void> done;

    ScriptedServer(Script script) throws IOException {
        listener = new ServerSocket(0, 1, InetAddress.getLoopbackAddress());
        done = CompletableFuture.runAsync(
                () -> {
                    try (Socket socket = listener.accept()) {
                        script.run(new Session(new DataInputStream(socket.getInputStream()), socket.getOutputStream()));
                    } catch (IOException e) {
                        throw new java.io.UncheckedIOException(e);
                    }
                },
                task -> Thread.ofVirtual().start(task));
    }

    NbdUri uri() {
        return NbdUri.parse("nbd://127.0.0.1:" + listener.getLocalPort() + "/disk");
    }

    /** Waits for the script's end and passes on what went wrong in it. */
    @Override
    public void close() throws IOException {
        try {
            done.orTimeout(20, TimeUnit.SECONDS).join();
        } finally {
            listener.close();
        }
    }
}
