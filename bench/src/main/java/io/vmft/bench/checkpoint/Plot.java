package io.vmft.bench.checkpoint;

import java.util.List;
import java.util.Locale;

/** Charts as SVG text: lines with their points, from zero, one chart below the other. */
final class Plot {
    private static final int WIDTH = 720;
    private static final int HEIGHT = 300;
    private static final int LEFT = 60;
    private static final int RIGHT = 20;
    private static final int TOP = 40;
    private static final int BOTTOM = 45;
    private static final int TICKS = 5;
    private static final List<String> COLORS = List.of("#1f5fa8", "#c2571a", "#3a7d44");

    record Point(double x, double y) {}

    record Line(String label, List<Point> points) {}

    record Chart(String title, String xUnit, String yUnit, List<Line> lines) {}

    private Plot() {}

    static String svg(List<Chart> charts) {
        StringBuilder svg = new StringBuilder(String.format(
                Locale.ROOT,
                "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" font-family=\"sans-serif\" font-size=\"12\">%n"
                        + "<rect width=\"100%%\" height=\"100%%\" fill=\"white\"/>%n",
                WIDTH,
                HEIGHT * charts.size()));
        for (int i = 0; i < charts.size(); i++) {
            chart(svg, charts.get(i), i * HEIGHT);
        }
        return svg.append("</svg>\n").toString();
    }

    private static void chart(StringBuilder svg, Chart chart, int top) {
        double xStep = step(max(chart, true) / TICKS);
        double yStep = step(max(chart, false) / TICKS);
        double xEnd = Math.ceil(max(chart, true) / xStep) * xStep;
        double yEnd = Math.ceil(max(chart, false) / yStep) * yStep;
        Scale scale = new Scale(xEnd, yEnd, top);
        text(svg, LEFT, top + 20, "start", chart.title());
        for (double x = 0; x <= xEnd + xStep / 2; x += xStep) {
            rule(svg, scale.x(x), scale.y(0), scale.x(x), scale.y(yEnd));
            text(svg, scale.x(x), scale.y(0) + 16, "middle", number(x));
        }
        for (double y = 0; y <= yEnd + yStep / 2; y += yStep) {
            rule(svg, scale.x(0), scale.y(y), scale.x(xEnd), scale.y(y));
            text(svg, scale.x(0) - 6, scale.y(y) + 4, "end", number(y));
        }
        text(svg, scale.x(xEnd), scale.y(0) + 32, "end", chart.xUnit());
        text(svg, LEFT - 50, scale.y(yEnd) - 8, "start", chart.yUnit());
        for (int i = 0; i < chart.lines().size(); i++) {
            line(svg, chart.lines().get(i), COLORS.get(i % COLORS.size()), scale, top + 20 + 16 * i);
        }
    }

    private static void line(StringBuilder svg, Line line, String color, Scale scale, double labelY) {
        StringBuilder path = new StringBuilder();
        for (Point point : line.points()) {
            path.append(String.format(
                    Locale.ROOT, "%s%.1f %.1f ", path.isEmpty() ? "M" : "L", scale.x(point.x()), scale.y(point.y())));
            svg.append(String.format(
                    Locale.ROOT,
                    "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"3\" fill=\"%s\"/>%n",
                    scale.x(point.x()),
                    scale.y(point.y()),
                    color));
        }
        svg.append(String.format(
                Locale.ROOT, "<path d=\"%s\" fill=\"none\" stroke=\"%s\" stroke-width=\"2\"/>%n", path, color));
        svg.append(String.format(
                Locale.ROOT,
                "<text x=\"%d\" y=\"%.1f\" text-anchor=\"end\" fill=\"%s\">%s</text>%n",
                WIDTH - RIGHT,
                labelY,
                color,
                line.label()));
    }

    private static void rule(StringBuilder svg, double x1, double y1, double x2, double y2) {
        svg.append(String.format(
                Locale.ROOT,
                "<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" stroke=\"#ddd\"/>%n",
                x1,
                y1,
                x2,
                y2));
    }

    private static void text(StringBuilder svg, double x, double y, String anchor, String text) {
        svg.append(String.format(
                Locale.ROOT, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\">%s</text>%n", x, y, anchor, text));
    }

    private static double max(Chart chart, boolean x) {
        return chart.lines().stream()
                .flatMap(line -> line.points().stream())
                .mapToDouble(point -> x ? point.x() : point.y())
                .max()
                .orElse(1);
    }

    /** The next larger of 1, 2 or 5 times a power of ten. */
    private static double step(double least) {
        double power = Math.pow(10, Math.floor(Math.log10(Math.max(least, 1e-9))));
        for (double factor : new double[] {1, 2, 5}) {
            if (factor * power >= least) {
                return factor * power;
            }
        }
        return 10 * power;
    }

    private static String number(double value) {
        return value == Math.rint(value)
                ? String.format(Locale.ROOT, "%.0f", value)
                : String.format(Locale.ROOT, "%.2g", value);
    }

    private record Scale(double xEnd, double yEnd, int top) {
        double x(double value) {
            return LEFT + value / xEnd * (WIDTH - LEFT - RIGHT);
        }

        double y(double value) {
            return top + HEIGHT - BOTTOM - value / yEnd * (HEIGHT - TOP - BOTTOM);
        }
    }
}
