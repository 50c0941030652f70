package io.vmft.blk.nbd;

import io.netty.buffer.ByteBuf;
import io.vmft.blk.export.BlockStatus;
import io.vmft.blk.export.ClientIdentity;
import io.vmft.blk.export.ExportRefusedException;
import io.vmft.blk.export.ExportView;
import io.vmft.blk.export.Exports;
import io.vmft.blk.export.ViewOwner;
import java.io.EOFException;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.channels.FileChannel;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.UnaryOperator;

/** The simplest storage: files as they are. Views can be decorated to inject faults. */
final class FileExports implements Exports {
    private final Map<String, Path> files = new ConcurrentHashMap<>();
    private final Map<String, UnaryOperator<ExportView>> decorators = new ConcurrentHashMap<>();
    private final Map<String, ViewOwner> revocations = new ConcurrentHashMap<>();
    final AtomicInteger openViews = new AtomicInteger();

    FileExports with(String name, Path file) {
        files.put(name, file);
        return this;
    }

    FileExports decorated(String name, UnaryOperator<ExportView> decorator) {
        decorators.put(name, decorator);
        return this;
    }

    /** Cuts the newest connection of an export, as fencing would. */
    void revoke(String name) {
        ViewOwner revocation = revocations.remove(name);
        if (revocation != null) {
            revocation.revoked("fenced");
        }
    }

    @Override
    public List<String> names(ClientIdentity client) {
        return files.keySet().stream().sorted().toList();
    }

    @Override
    public ExportView open(String exportName, ClientIdentity client, ViewOwner owner) throws ExportRefusedException {
        switch (exportName) {
            case "held" ->
                throw new ExportRefusedException(ExportRefusedException.Reason.POLICY, "held is held by vm1@7");
            case "closing" ->
                throw new ExportRefusedException(ExportRefusedException.Reason.SHUTDOWN, "the server closes");
            default -> {}
        }
        Path file = files.get(exportName);
        if (file == null) {
            throw new ExportRefusedException(ExportRefusedException.Reason.UNKNOWN, "no volume " + exportName);
        }
        revocations.put(exportName, owner);
        try {
            openViews.incrementAndGet();
            return decorators
                    .getOrDefault(exportName, view -> view)
                    .apply(new FileView(FileChannel.open(file, StandardOpenOption.READ, StandardOpenOption.WRITE)));
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    @Override
    public ExportView look(String exportName, ClientIdentity client) throws ExportRefusedException {
        ViewOwner before = revocations.get(exportName);
        ExportView looked = open(exportName, client, _ -> {});
        if (before == null) {
            revocations.remove(exportName);
        } else {
            revocations.put(exportName, before);
        }
        return looked;
    }

    private final class FileView implements ExportView {
        private final FileChannel channel;

        FileView(FileChannel channel) {
            this.channel = channel;
        }

        @Override
        public long sizeBytes() {
            try {
                return channel.size();
            } catch (IOException e) {
                throw new UncheckedIOException(e);
            }
        }

        @Override
        public boolean readOnly() {
            return false;
        }

        @Override
        public boolean multiConn() {
            return true;
        }

        @Override
        public void read(long offset, int lengthBytes, ByteBuf destination) throws IOException {
            int left = lengthBytes;
            while (left > 0) {
                int count = destination.writeBytes(channel, offset + lengthBytes - left, left);
                if (count < 0) {
                    throw new EOFException("the file became shorter");
                }
                left -= count;
            }
        }

        @Override
        public void write(long offset, ByteBuf source, boolean fua) throws IOException {
            int done = 0;
            while (done < source.readableBytes()) {
                done += source.getBytes(
                        source.readerIndex() + done, channel, offset + done, source.readableBytes() - done);
            }
            if (fua) {
                flush();
            }
        }

        @Override
        public void writeZeroes(long offset, long lengthBytes, boolean punchHole, boolean fua) throws IOException {
            java.nio.ByteBuffer zeroes = java.nio.ByteBuffer.allocate(64 << 10);
            long done = 0;
            while (done < lengthBytes) {
                zeroes.clear().limit((int) Math.min(zeroes.capacity(), lengthBytes - done));
                done += channel.write(zeroes, offset + done);
            }
            if (fua) {
                flush();
            }
        }

        @Override
        public void trim(long offset, long lengthBytes, boolean fua) throws IOException {
            writeZeroes(offset, lengthBytes, true, fua);
        }

        @Override
        public boolean zeroesFast(boolean punchHole) {
            return false;
        }

        @Override
        public void cache(long offset, long lengthBytes) throws IOException {}

        @Override
        public List<String> contexts(String query, boolean list) {
            return query.equals(BlockStatus.ALLOCATION) || (list && (query.isEmpty() || query.equals("base:")))
                    ? List.of(BlockStatus.ALLOCATION)
                    : List.of();
        }

        @Override
        public List<BlockStatus> blockStatus(String context, long offset, long lengthBytes, int limit)
                throws IOException {
            return List.of(new BlockStatus(lengthBytes, 0));
        }

        @Override
        public String description() {
            return "a test's volume";
        }

        @Override
        public void flush() throws IOException {
            channel.force(false);
        }

        @Override
        public void close() {
            openViews.decrementAndGet();
            try {
                channel.close();
            } catch (IOException e) {
                throw new UncheckedIOException(e);
            }
        }
    }
}
