package io.vmft.config;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.function.Function;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

final class SectionTest {
    private static final Set<String> KEYS = Set.of("size", "note", "list", "groups", "named");
    private static final Set<String> INNER = Set.of("size", "on");

    @TempDir
    Path directory;

    private Section read(String text) throws ConfigException, IOException {
        return Section.read(Files.writeString(directory.resolve("file.yaml"), text), Map.of(), KEYS);
    }

    @Test
    void readsValuesListsAndGroupsByName() throws Exception {
        Section section = read("""
                size: 1K
                note:
                list: [a, b]
                groups:
                  - size: 2K
                named:
                  zeta: {size: 3K, on: yes}
                  alpha: {}
                """);
        assertThat(section.required("size", Quantity::parseSize)).isEqualTo(1024);
        assertThat(section.text("note")).hasValue("");
        assertThat(section.text("nothing")).isEmpty();
        assertThat(section.list("list", Function.identity())).containsExactly("a", "b");
        assertThat(section.sections("groups", INNER).getFirst().required("size", Quantity::parseSize))
                .isEqualTo(2048);
        Map<String, Section> named = section.named("named", INNER);
        assertThat(named.keySet()).containsExactly("zeta", "alpha");
        assertThat(Objects.requireNonNull(named.get("zeta")).get("on", false, Quantity::parseFlag))
                .isTrue();
        assertThat(Objects.requireNonNull(named.get("alpha")).get("on", false, Quantity::parseFlag))
                .isFalse();
        assertThat(section.path("beside")).isEqualTo(directory.resolve("beside"));
        assertThat(section.path("/elsewhere")).isEqualTo(Path.of("/elsewhere"));
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            quoteCharacter = '`',
            value = {
                "named: [a]                    | file.yaml:1: named: must be a group of names",
                "named:\\n  one: 7             | file.yaml:2: named.one: must be a group of KEY: VALUE lines",
                "named:\\n  one: {off: 7}      | file.yaml:2: named.one.off: unknown key; known here: on, size",
                "named:\\n  a: {}\\n  a: {}    | file.yaml:3: a: is given twice",
                "named:\\n  a:\\n    size: big | file.yaml:3: named.a.size: \"big\" is not a size",
            })
    void complainsAboutNamedGroupsWithLineAndPath(String text, String complaint) throws Exception {
        assertThatThrownBy(() -> {
                    for (Section section : read(text.replace("\\n", "\n"))
                            .named("named", INNER)
                            .values()) {
                        section.optional("size", Quantity::parseSize);
                    }
                })
                .isInstanceOf(ConfigException.class)
                .hasMessageContaining(complaint);
    }

    @Test
    void turnsARecordsComplaintIntoOneWithItsLine() throws Exception {
        Section section = read("\nsize: 7\n");
        assertThatThrownBy(() -> section.build(() -> {
                    throw new InvalidValueException("size", "is odd");
                }))
                .isInstanceOf(ConfigException.class)
                .hasMessage(directory.resolve("file.yaml") + ":2: size: is odd");
    }
}
