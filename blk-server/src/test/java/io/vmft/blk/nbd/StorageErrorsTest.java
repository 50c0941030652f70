package io.vmft.blk.nbd;

import static org.assertj.core.api.Assertions.assertThat;

import io.vmft.blk.export.NoSpaceException;
import io.vmft.blk.export.SyncFailedException;
import io.vmft.proto.nbd.NbdError;
import java.io.IOException;
import org.junit.jupiter.api.Test;

class StorageErrorsTest {
    @Test
    void wantOfSpaceIsToldAsSuchButForASyncThatFailed() {
        NoSpaceException full = new NoSpaceException("disk.img: write: No space left on device");
        assertThat(StorageErrors.of(full)).isEqualTo(NbdError.ENOSPC);
        assertThat(StorageErrors.of(new IOException("No space left on device"))).isEqualTo(NbdError.ENOSPC);
        assertThat(StorageErrors.of(new IOException("a write failed", full))).isEqualTo(NbdError.ENOSPC);
        assertThat(StorageErrors.of(new SyncFailedException("fdatasync: No space left on device", full)))
                .isEqualTo(NbdError.EIO);
        assertThat(StorageErrors.of(new IOException("Input/output error"))).isEqualTo(NbdError.EIO);
    }
}
