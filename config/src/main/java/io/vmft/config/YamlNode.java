package io.vmft.config;

import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.core.JsonToken;
import com.fasterxml.jackson.dataformat.yaml.YAMLFactory;
import com.fasterxml.jackson.dataformat.yaml.YAMLParser;
import java.io.IOException;
import java.io.InputStream;
import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;

/** A YAML document with the line of every value, which Jackson's own tree forgets. */
sealed interface YamlNode {
    int line();

    /** A scalar as written; empty for one that is missing or {@code null}. */
    record Scalar(String text, int line) implements YamlNode {}

    record Sequence(List<YamlNode> items, int line) implements YamlNode {}

    record Mapping(Map<String, YamlNode> entries, int line) implements YamlNode {}

    /** Nesting deeper than any file needs. */
    int MAX_DEPTH = 8;

    /** Larger than any file needs to be. */
    int MAX_FILE_BYTES = 1 << 20;

    /**
     * Reads the one document of a file.
     *
     * @throws ConfigException naming {@code file} and the line
     */
    static Mapping read(Path file) throws ConfigException {
        try (InputStream in = Files.newInputStream(file)) {
            byte[] bytes = in.readNBytes(MAX_FILE_BYTES + 1);
            if (bytes.length > MAX_FILE_BYTES) {
                throw new ConfigException(file + ": is larger than " + Quantity.sizeInWords(MAX_FILE_BYTES)
                        + "; is it a file of settings?");
            }
            return parse(
                    file.toString(),
                    StandardCharsets.UTF_8
                            .newDecoder()
                            .decode(ByteBuffer.wrap(bytes))
                            .toString());
        } catch (CharacterCodingException e) {
            throw new ConfigException(file + ": is not UTF-8 text; is it a file of settings?", e);
        } catch (IOException e) {
            throw new ConfigException(file + ": cannot be read (" + IoReasons.of(e) + ")", e);
        }
    }

    private static Mapping parse(String file, String text) throws ConfigException {
        try (YAMLParser parser = new YAMLFactory().createParser(text)) {
            if (parser.nextToken() != JsonToken.START_OBJECT) {
                throw new ConfigException(file + ": is not a list of KEY: VALUE lines");
            }
            Mapping document = mapping(file, parser, 1);
            if (parser.nextToken() != null) {
                throw new ConfigException(file + ":" + line(parser) + ": a second document; leave one in the file");
            }
            return document;
        } catch (JsonProcessingException e) {
            String where = e.getLocation() == null ? "" : ":" + e.getLocation().getLineNr();
            throw new ConfigException(file + where + ": not YAML: " + complaint(e), e);
        } catch (IOException e) {
            throw new ConfigException(file + ": " + IoReasons.of(e), e);
        }
    }

    private static YamlNode node(String file, YAMLParser parser, int depth) throws IOException, ConfigException {
        if (depth > MAX_DEPTH) {
            throw new ConfigException(file + ":" + line(parser) + ": nested too deep");
        }
        if (parser.isCurrentAlias()) {
            throw new ConfigException(file + ":" + line(parser) + ": aliases are not supported; write the value out");
        }
        return switch (parser.currentToken()) {
            case START_OBJECT -> mapping(file, parser, depth);
            case START_ARRAY -> {
                int line = line(parser);
                List<YamlNode> items = new ArrayList<>();
                while (parser.nextToken() != JsonToken.END_ARRAY) {
                    items.add(node(file, parser, depth + 1));
                }
                yield new Sequence(items, line);
            }
            case VALUE_NULL -> new Scalar("", line(parser));
            default -> new Scalar(parser.getText(), line(parser));
        };
    }

    private static Mapping mapping(String file, YAMLParser parser, int depth) throws IOException, ConfigException {
        int line = line(parser);
        Map<String, YamlNode> entries = new LinkedHashMap<>();
        while (parser.nextToken() != JsonToken.END_OBJECT) {
            String key = parser.currentName();
            int keyLine = line(parser);
            parser.nextToken();
            if (entries.put(key, node(file, parser, depth + 1)) != null) {
                throw new ConfigException(file + ":" + keyLine + ": " + key + ": is given twice");
            }
        }
        return new Mapping(entries, line);
    }

    /** The parser's words without its pictures, which are indented. */
    private static String complaint(JsonProcessingException e) {
        return e.getOriginalMessage()
                .lines()
                .filter(line -> !line.isBlank() && !line.startsWith(" "))
                .collect(Collectors.joining("; "));
    }

    private static int line(JsonParser parser) {
        return parser.currentTokenLocation().getLineNr();
    }
}
