package io.vmft.bench.durability;

import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import io.vmft.blk.export.ClientIdentity;
import io.vmft.blk.export.ExportRefusedException;
import io.vmft.blk.export.ExportView;
import io.vmft.blk.server.BlkServer;
import io.vmft.proto.blk.v1.BeginProtectRequest;
import io.vmft.proto.blk.v1.CommitRequest;
import io.vmft.proto.blk.v1.OpenRequest;
import io.vmft.proto.blk.v1.SealRequest;
import java.io.IOException;
import java.lang.foreign.MemorySegment;

/** A protected volume of a server in this process: a commit seals an epoch and commits it, and the applier works beside. */
final class ServerLog implements DurableLog {
    private static final String HOST = "bench-a";

    private final BlkServer server;
    private final String vm;
    private final ExportView view;
    private final ByteBuf block;
    private final long volumeBytes;
    private final long generation;
    private long at;
    private long epoch;

    ServerLog(BlkServer server, String volume, MemorySegment block) throws IOException {
        this.server = server;
        this.vm = "vm-" + volume;
        this.block = Unpooled.wrappedBuffer(block.asByteBuffer());
        server.coordinator()
                .open(OpenRequest.newBuilder()
                        .setVm(vm)
                        .setHost(HOST)
                        .addVolumes(volume)
                        .build());
        server.coordinator()
                .beginProtect(BeginProtectRequest.newBuilder()
                        .setVm(vm)
                        .setGeneration(server.coordinator().get(vm).getGeneration())
                        .setBackup("bench-b")
                        .build());
        generation = server.coordinator().get(vm).getGeneration();
        try {
            view = server.exports()
                    .open(
                            volume + "@" + server.coordinator().get(vm).getPrimaryGeneration(),
                            ClientIdentity.UNKNOWN,
                            _ -> {});
        } catch (ExportRefusedException e) {
            throw new IOException(e);
        }
        volumeBytes = view.sizeBytes();
        commit();
    }

    @Override
    public void append() throws IOException {
        if (at + block.readableBytes() > volumeBytes) {
            at = 0;
        }
        write(at);
        at += block.readableBytes();
    }

    void write(long offset) throws IOException {
        view.write(offset, block.duplicate(), false);
    }

    void seal() throws IOException {
        epoch++;
        check(server.coordinator()
                .seal(SealRequest.newBuilder()
                        .setVm(vm)
                        .setGeneration(generation)
                        .setEpoch(epoch)
                        .build())
                .accepted());
    }

    @Override
    public void commit() throws IOException {
        seal();
        check(server.coordinator()
                .commit(CommitRequest.newBuilder()
                        .setVm(vm)
                        .setGeneration(generation)
                        .setEpoch(epoch)
                        .build())
                .accepted());
    }

    private void check(boolean accepted) throws IOException {
        if (!accepted) {
            throw new IOException(vm + ": epoch " + epoch + " was refused");
        }
    }

    @Override
    public void close() {
        view.close();
    }
}
