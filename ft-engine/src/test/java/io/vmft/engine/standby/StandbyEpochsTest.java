package io.vmft.engine.standby;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import io.netty.handler.codec.CorruptedFrameException;
import io.vmft.proto.checkpoint.Frame;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

class StandbyEpochsTest {
    private final byte[] image = new byte[8];
    private final StandbyEpochs epochs = new StandbyEpochs(new RamImage() {
        @Override
        public long pages() {
            return image.length;
        }

        @Override
        public void setPage(long pageIndex, ByteBuf source, int offset) {
            image[(int) pageIndex] = source.getByte(offset);
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
                .writeInt(0)
                .writeLongLE(page)
                .writeByte(value)
                .writeZero(Frame.PAGE_BYTES - 1));
    }

    private ByteBuf keep(ByteBuf payload) {
        given.add(payload);
        return payload;
    }
}
