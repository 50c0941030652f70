package io.vmft.engine.standby;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import io.netty.handler.codec.CorruptedFrameException;
import io.vmft.proto.checkpoint.Digests;
import io.vmft.proto.checkpoint.Frame;
import io.vmft.proto.checkpoint.PackedPages;
import io.vmft.proto.checkpoint.PagesPayload;
import java.util.ArrayList;
import java.util.List;
import java.util.zip.CRC32C;
import net.jpountz.lz4.LZ4Factory;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

class StandbyEpochsTest {
    private static final int NONE = -1;

    private final byte[] image = new byte[8];
    private int pageWithoutRoom = NONE;
    private final StandbyEpochs epochs = new StandbyEpochs(new RamImage() {
        @Override
        public long pages() {
            return image.length;
        }

        @Override
        public void setPage(long pageIndex, ByteBuf source, int offset) {
            if (pageIndex == pageWithoutRoom) {
                throw new InternalError("no room for a page");
            }
            image[(int) pageIndex] = source.getByte(offset);
        }

        @Override
        public void getPage(long pageIndex, byte[] target) {
            java.util.Arrays.fill(target, (byte) 0);
            target[0] = image[(int) pageIndex];
        }

        @Override
        public int digest(int piece) {
            throw new UnsupportedOperationException("the owner of the image compares it");
        }

        @Override
        public void setZero(long pageIndex) {
            image[(int) pageIndex] = 0;
        }
    });
    private final List<ByteBuf> given = new ArrayList<>();

    @AfterEach
    void everyPayloadIsReleased() {
        epochs.close();
        assertThat(given).allSatisfy(payload -> assertThat(payload.refCnt()).isZero());
    }

    @Test
    void anEpochIsFoldedOnlyWhenCommitted() {
        checkpoint(1, 3, 11);
        assertThat(image[3]).isZero();
        epochs.committed(1);
        assertThat(image[3]).isEqualTo((byte) 11);
        assertThat(epochs.foldedEpoch()).isEqualTo(1);
        assertThat(epochs.stagedBytes()).isZero();
    }

    @Test
    void aTakeoverMayChooseAnyCompleteEpochFromTheImagesOwnOn() {
        assertThat(epochs.takeOverRange()).isNull();
        checkpoint(4, 0, 1);
        assertThat(epochs.takeOverRange()).isEqualTo(new StandbyEpochs.Range(4, 4));
        epochs.committed(4);
        checkpoint(5, 0, 2);
        checkpoint(6, 0, 3);
        epochs.pages(7, pages(0, 4));
        assertThat(epochs.takeOverRange()).isEqualTo(new StandbyEpochs.Range(4, 6));
        assertThat(epochs.goTo(5).getByte(0)).isEqualTo((byte) 5);
        assertThat(image[0]).isEqualTo((byte) 2);
    }

    @Test
    void theImagesOwnEpochCanBeChosenAfterLaterOnesWereStaged() {
        checkpoint(1, 0, 1);
        epochs.committed(1);
        checkpoint(2, 0, 2);
        assertThat(epochs.goTo(1).getByte(0)).isEqualTo((byte) 1);
        assertThat(image[0]).isEqualTo((byte) 1);
    }

    @Test
    void anEpochThatCouldNotBeFoldedWholeIsFoldedAgainBeforeALaterOne() {
        epochs.pages(1, pages(2, 9));
        epochs.pages(1, pages(3, 11));
        epochs.deviceState(1, state(1));
        epochs.end(1, 2);
        checkpoint(2, 0, 5);
        pageWithoutRoom = 3;
        assertThatThrownBy(() -> epochs.committed(1)).isInstanceOf(InternalError.class);
        assertThatThrownBy(() -> epochs.goTo(2)).isInstanceOf(InternalError.class);
        assertThat(epochs.foldedEpoch()).isZero();

        pageWithoutRoom = NONE;
        epochs.goTo(2);
        assertThat(image).startsWith(5, 0, 9, 11);
    }

    @Test
    void itCannotGoWhereItNeverWas() {
        checkpoint(2, 0, 1);
        assertThatThrownBy(() -> epochs.goTo(3)).isInstanceOf(IllegalStateException.class);
        assertThatThrownBy(() -> epochs.committed(9)).isInstanceOf(CorruptedFrameException.class);
    }

    @Test
    void aVoidEpochLeavesNothing() {
        epochs.pages(1, pages(2, 9));
        epochs.abort(1);
        checkpoint(2, 3, 7);
        epochs.committed(2);
        assertThat(image[2]).isZero();
    }

    @Test
    void aCheckpointThatIsNotWholeIsRefused() {
        epochs.pages(1, pages(2, 9));
        assertThatThrownBy(() -> epochs.end(1, 1)).hasMessageContaining("device state missing");
        epochs.deviceState(1, state(1));
        assertThatThrownBy(() -> epochs.end(1, 2)).hasMessageContaining("ends with 2 pages, 1 came");
        assertThatThrownBy(() -> epochs.pages(2, pages(0, 0))).hasMessageContaining("epoch 2 inside epoch 1");
        assertThat(epochs.takeOverRange()).isNull();
    }

    @Test
    void epochsRise() {
        checkpoint(3, 0, 1);
        assertThatThrownBy(() -> epochs.pages(3, pages(0, 0))).hasMessageContaining("after epoch 3");
        assertThatThrownBy(() -> epochs.syncPages(pages(0, 0))).hasMessageContaining("first-sync pages after");
    }

    @Test
    void aPageThatBecameZeroNeedsNoContent() {
        checkpoint(1, 3, 11);
        ByteBuf zero = keep(Unpooled.buffer().writeInt(1).writeInt(0).writeLongLE(3 | PagesPayload.ZERO_PAGE));
        epochs.pages(2, zero);
        epochs.deviceState(2, state(2));
        epochs.end(2, 1);
        epochs.committed(1);
        assertThat(image[3]).isEqualTo((byte) 11);
        epochs.committed(2);
        assertThat(image[3]).isZero();
    }

    @Test
    void aChangeIsOfWhatWasReceivedLastCommittedOrNot() {
        checkpoint(1, 3, 11);
        epochs.committed(1);
        packedCheckpoint(2, 3, 11 ^ 20);
        packedCheckpoint(3, 3, 20 ^ 30);
        packedCheckpoint(4, 5, 7);
        epochs.committed(2);
        assertThat(image[3]).isEqualTo((byte) 20);
        packedCheckpoint(5, 3, 30 ^ 40);
        epochs.committed(5);
        assertThat(image[3]).isEqualTo((byte) 40);
        assertThat(image[5]).isEqualTo((byte) 7);
    }

    @Test
    void aVoidEpochIsNothingToRelateTo() {
        checkpoint(1, 3, 11);
        epochs.pages(2, pages(3, 99));
        epochs.abort(2);
        packedCheckpoint(3, 3, 11 ^ 20);
        epochs.committed(3);
        assertThat(image[3]).isEqualTo((byte) 20);
    }

    @Test
    void theImageStandsStillUntilItIsVerified() {
        verifiedCheckpoint(1, 3, 11);
        checkpoint(2, 3, 12);
        assertThat(epochs.verificationDue()).isNull();
        epochs.committed(2);
        assertThat(epochs.verificationDue()).isNotNull();
        assertThat(due().epoch()).isEqualTo(1);
        assertThat(image[3]).isEqualTo((byte) 11);
        verifiedCheckpoint(3, 3, 13);
        epochs.committed(3);
        assertThat(epochs.foldedEpoch()).isEqualTo(1);
        epochs.verified();
        assertThat(image[3]).isEqualTo((byte) 13);
        assertThat(due().epoch()).isEqualTo(3);
        epochs.verified();
        assertThat(epochs.verificationDue()).isNull();
    }

    @Test
    void aTakeoverDoesNotWaitForAVerification() {
        verifiedCheckpoint(1, 3, 11);
        checkpoint(2, 3, 12);
        epochs.committed(1);
        epochs.goTo(2);
        assertThat(image[3]).isEqualTo((byte) 12);
        assertThat(epochs.verificationDue()).isNull();
    }

    @Test
    void anotherDeviceStateThanTheOneSavedIsRefused() {
        epochs.deviceState(1, state(1));
        assertThatThrownBy(() -> epochs.digests(1, keep(new Digests(1234, new int[1]).payload())))
                .hasMessageContaining("device state is not the one");
    }

    private StandbyEpochs.Due due() {
        return java.util.Objects.requireNonNull(epochs.verificationDue());
    }

    private void verifiedCheckpoint(long epoch, int page, int value) {
        epochs.pages(epoch, pages(page, value));
        epochs.deviceState(epoch, state(epoch));
        CRC32C crc = new CRC32C();
        crc.update((int) epoch);
        epochs.digests(epoch, keep(new Digests((int) crc.getValue(), new int[1]).payload()));
        epochs.end(epoch, 1);
    }

    private void packedCheckpoint(long epoch, int page, int change) {
        byte[] changed = new byte[Frame.PAGE_BYTES];
        changed[0] = (byte) change;
        byte[] block = LZ4Factory.safeInstance().fastCompressor().compress(changed);
        epochs.packedPages(
                epoch,
                keep(Unpooled.buffer()
                        .writeInt(1)
                        .writeInt(0)
                        .writeLongLE(page | PackedPages.DELTA | PackedPages.LZ4)
                        .writeShort(block.length)
                        .writeBytes(block)));
        epochs.deviceState(epoch, state(epoch));
        epochs.end(epoch, 1);
    }

    @Test
    void aPageOutsideTheGuestIsRefused() {
        assertThatThrownBy(() -> epochs.syncPages(pages(8, 1))).hasMessageContaining("page 8 of a guest with 8 pages");
    }

    private void checkpoint(long epoch, int page, int value) {
        epochs.pages(epoch, pages(page, value));
        epochs.deviceState(epoch, state(epoch));
        epochs.end(epoch, 1);
    }

    private ByteBuf state(long epoch) {
        return keep(Unpooled.buffer().writeByte((int) epoch));
    }

    private ByteBuf pages(int page, int value) {
        return keep(Unpooled.buffer()
                .writeInt(1)
                .writeInt(1)
                .writeLongLE(page)
                .writeByte(value)
                .writeZero(Frame.PAGE_BYTES - 1));
    }

    private ByteBuf keep(ByteBuf payload) {
        given.add(payload);
        return payload;
    }
}
