//! A report as a picture: TTFT against prompt length and TPOT against all that stands before a token,
//! with the band from the fastest to the 90th percentile.

use plotters::chart::ChartBuilder;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, VPos};
use ponder_figures::picture::{Area, Drawn, GREY, color, label, short_name, svg};

use crate::report::Varies;
use crate::stats::Spread;
use crate::{BenchError, Report, Row};

/// Pixels of the title and the panels, and of a line of the legend below them.
const SIZE: (u32, u32) = (880, 400);
const LEGEND_LINE: u32 = 18;

/// What a panel shows: its title, the metric, and where a row stands.
type Panel = (&'static str, &'static str, fn(&Row) -> f64);

const PANELS: [Panel; 2] = [
    ("TTFT in ms by prompt tokens", "ttft_ms", |row| {
        row.case.prompt_tokens as f64
    }),
    ("TPOT in ms by tokens before it", "tpot_ms", |row| {
        (row.case.depth + row.case.prompt_tokens) as f64
    }),
];

/// The picture, as the text of an SVG file.
///
/// # Errors
/// What the drawing library says; there is no known way to bring it about.
pub fn plot(report: &Report) -> Result<String, BenchError> {
    let names = names(report);
    let legend = LEGEND_LINE * names.len() as u32 + 8;
    let title = format!(
        "{} on {}: medians, fastest to p90",
        report
            .models
            .first()
            .map_or("", |model| short_name(model.name())),
        report.machine.cpu
    );
    let draw = |area: &Area<'_>| draw(report, &names, legend, area);
    svg((SIZE.0, SIZE.1 + legend), title, draw).map_err(|error| BenchError::Plot(error.to_string()))
}

fn draw(report: &Report, names: &[String], legend: u32, area: &Area<'_>) -> Drawn {
    let (_, height) = area.dim_in_pixel();
    let (panels, legend) = area.split_vertically(height - legend);
    let (left, right) = panels.split_horizontally(SIZE.0 / 2);
    for (area, shown) in [left, right].iter().zip(PANELS) {
        panel(report, names, area, shown)?;
    }
    for (i, name) in names.iter().enumerate() {
        let y = LEGEND_LINE as i32 * i as i32;
        let mark = Rectangle::new([(48, y + 2), (60, y + 14)], color(i).filled());
        legend.draw(&mark)?;
        let style = label(12, HPos::Left, VPos::Center);
        legend.draw(&Text::new(name.clone(), (66, y + 8), style))?;
    }
    Ok(())
}

/// Rows that differ in the length of the prompt only share a colour and a line.
fn name(varies: Varies, row: &Row) -> String {
    let case = &row.case;
    let mut parts = vec![varies.setup(row), row.start.to_string()];
    parts.extend((case.depth > 0).then(|| format!("depth {}", case.depth)));
    parts.extend((case.concurrency > 1).then(|| format!("{} at a time", case.concurrency)));
    parts.extend(
        case.effort
            .map(|effort| format!("effort {}", effort.name())),
    );
    parts.retain(|part| !part.is_empty());
    parts.join(", ")
}

fn names(report: &Report) -> Vec<String> {
    let varies = Varies::over(&report.rows);
    let mut names = Vec::new();
    for name in report.rows.iter().map(|row| name(varies, row)) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

fn panel(report: &Report, names: &[String], area: &Area<'_>, (title, metric, x): Panel) -> Drawn {
    let varies = Varies::over(&report.rows);
    let points = |name: &String| -> Vec<(f64, Spread)> {
        let rows = report.rows.iter();
        let rows = rows.filter(|row| self::name(varies, row) == *name);
        let mut points: Vec<_> = rows
            .filter_map(|row| Some((x(row), row.spread(metric)?)))
            .collect();
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
        points
    };
    let lines: Vec<_> = names.iter().map(points).collect();
    let all = || lines.iter().flatten();
    let x_max = all().map(|point| point.0).fold(1.0, f64::max);
    let y_max = all().map(|point| point.1.p90).fold(1e-3, f64::max);
    let mut builder = ChartBuilder::on(area);
    builder
        .caption(title, label(14, HPos::Left, VPos::Top))
        .margin_right(16);
    builder.y_label_area_size(56).x_label_area_size(30);
    let mut chart = builder.build_cartesian_2d(0.0..1.05 * x_max, 0.0..1.05 * y_max)?;
    let mut mesh = chart.configure_mesh();
    mesh.disable_x_mesh().light_line_style(TRANSPARENT);
    mesh.bold_line_style(GREY.mix(0.3)).axis_style(GREY);
    mesh.x_labels(6).y_labels(6);
    let number = |value: &f64| format!("{value}");
    mesh.x_label_formatter(&number).y_label_formatter(&number);
    mesh.label_style(label(12, HPos::Right, VPos::Center))
        .draw()?;
    let plane = chart.plotting_area();
    for (i, line) in lines.iter().enumerate() {
        let low = line.iter().map(|(x, spread)| (*x, spread.min));
        let high = line.iter().rev().map(|(x, spread)| (*x, spread.p90));
        if line.len() > 1 {
            let band: Vec<_> = low.chain(high).collect();
            plane.draw(&Polygon::new(band, color(i).mix(0.2).filled()))?;
        }
        let middle: Vec<_> = line.iter().map(|(x, spread)| (*x, spread.p50)).collect();
        for &(x, y) in &middle {
            plane.draw(&Circle::new((x, y), 3, color(i).filled()))?;
        }
        for (x, spread) in line {
            let ends = [(*x, spread.min), (*x, spread.p90)];
            plane.draw(&PathElement::new(ends, color(i).stroke_width(1)))?;
        }
        plane.draw(&PathElement::new(middle, color(i).stroke_width(2)))?;
    }
    Ok(())
}
