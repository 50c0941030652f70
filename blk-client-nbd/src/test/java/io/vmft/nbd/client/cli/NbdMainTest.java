package io.vmft.nbd.client.cli;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.PrintWriter;
import java.io.StringWriter;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import picocli.CommandLine;

class NbdMainTest {
    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            value = {
                "info http://x | is no NBD URI",
                "info | URI",
                "read nbd://x/ 1x 5 | is no number of bytes",
                "copy a a | cannot be copied to itself",
                "copy a b --requests 0 | use 1 to 1024",
                "copy a b --request-size 5000 | power of two",
                "copy a b --connections 65 | use 1 to 64",
                "copy nbd://h:0/ b | 0 is no port",
                "bench nbd://x/ --pattern sideways | sideways",
                "bench nbd://x/ --pattern write | --destroy-data",
                "bench nbd://x/ --depth 0 | depth of 1 to 1024",
                "watch nbd://x/ --interval 1 | 10 ms",
                "map nbd://x/ --surprise | --surprise",
                "dance | dance"
            })
    void wrongArgumentsAreOneLineAndStatus2(String arguments, String words) {
        StringWriter err = new StringWriter();
        CommandLine command = NbdMain.commandLine().setErr(new PrintWriter(err));
        assertThat(command.execute(arguments.strip().split(" "))).isEqualTo(2);
        assertThat(err.toString())
                .startsWith("vmft nbd: ")
                .contains(words.strip())
                .hasLineCount(1);
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            value = {
                "nbd+unix:///?socket=/nonexistent.sock | there is no such socket",
                "nbd://127.0.0.1:1/ | Connection refused: /127.0.0.1:1"
            })
    void aServerThatIsNotThereIsToldInOneLine(String uri, String words) {
        StringWriter err = new StringWriter();
        CommandLine command = NbdMain.commandLine().setErr(new PrintWriter(err));
        assertThat(command.execute("info", uri)).isEqualTo(1);
        assertThat(err.toString().strip()).isEqualTo("vmft nbd: " + uri + ": " + words);
    }

    @Test
    void progressIsOneLine() {
        assertThat(ProgressBar.line(2L << 30, 1L << 30, 1_000_000_000))
                .isEqualTo("[===============>              ]  50 %  1.0 GiB of 2.0 GiB, 1074 MB/s ");
        assertThat(ProgressBar.line(0, 0, 5)).contains("100 %").contains("0 B of 0 B");
        assertThat(ProgressBar.line(100, 100, 1)).startsWith("[" + "=".repeat(30) + "] 100 %");
    }

    @Test
    void bytesHaveSuffixes() {
        assertThat(ByteCount.parse("4k").bytes()).isEqualTo(4096);
        assertThat(ByteCount.parse("2T").bytes()).isEqualTo(2L << 40);
        assertThat(ByteCount.describe(1536)).isEqualTo("1.5 KiB");
    }
}
