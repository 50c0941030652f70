package io.vmft.engine.config;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.vmft.engine.config.Endpoint.HostPort;
import io.vmft.engine.config.Endpoint.UnixPath;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

final class EndpointTest {
    @Test
    void readsWhatPeopleWrite() {
        assertThat(Endpoint.parse("10.0.0.1:5000")).isEqualTo(new HostPort("10.0.0.1", 5000));
        assertThat(Endpoint.parse("[::1]:5000")).isEqualTo(new HostPort("::1", 5000));
        assertThat(Endpoint.parse(":4441")).isEqualTo(new HostPort("0.0.0.0", 4441));
        assertThat(Endpoint.parse("unix:/run/blk.sock")).isEqualTo(new UnixPath(Path.of("/run/blk.sock")));
    }

    @ParameterizedTest
    @ValueSource(strings = {"10.0.0.1:5000", "[::1]:5000", "unix:/run/blk.sock"})
    void writesThemBackTheSame(String text) {
        assertThat(Endpoint.parse(text)).hasToString(text);
    }

    @ParameterizedTest
    @ValueSource(
            strings = {"", "host", "host:", "host:99999", "host:-1", "::1:5000", "unix:", "a b:1", "h,x=y:1", "host:1a"
            })
    void refusesTheRest(String text) {
        assertThatThrownBy(() -> Endpoint.parse(text)).isInstanceOf(IllegalArgumentException.class);
    }
}
