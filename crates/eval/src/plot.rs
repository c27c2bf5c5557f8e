//! A report as a picture: accuracy per effort level with what a majority adds, and accuracy against
//! thinking tokens.

use plotters::chart::{ChartBuilder, ChartContext};
use plotters::coord::cartesian::Cartesian2d;
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, VPos};
use ponder_figures::picture::{Area, Drawn, GREY, color, label, short_name, svg};

use crate::{EvalError, Report, Row};

/// Pixels of the picture; READMEs are about this wide.
const SIZE: (u32, u32) = (880, 380);

/// Pixels of the left panel.
const LEFT_WIDTH: u32 = 470;

/// Pixels of the legend.
const FOOT: u32 = 26;

/// Groups of bars, or points, from which on there is little room for what they are called.
const MANY: usize = 8;

type Chart<'a, 'b> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<RangedCoordf64, RangedCoordf64>>;

/// The picture, as the text of an SVG file.
///
/// # Errors
/// What the drawing library says; there is no known way to bring it about.
pub fn plot(report: &Report) -> Result<String, EvalError> {
    let title = format!(
        "{} on {}, {} questions, 95 % intervals",
        short_name(&report.model),
        report.task,
        report.questions
    );
    svg(SIZE, title, |area| draw(report, area)).map_err(|error| EvalError::Plot(error.to_string()))
}

fn draw(report: &Report, area: &Area<'_>) -> Drawn {
    let series = Series::of(report);
    let (_, height) = area.dim_in_pixel();
    let (panels, foot) = area.split_vertically(height - FOOT);
    let (left, right) = panels.split_horizontally(LEFT_WIDTH);
    bars(report, &series, &left)?;
    points(report, &series, &right)?;
    legend(report, &series, &foot)
}

/// Rows that differ in effort, budget and votes only; they share a colour.
#[derive(PartialEq)]
struct Series {
    landing: Option<f32>,
    early_exit: &'static str,
}

impl Series {
    fn of_row(row: &Row) -> Self {
        Self {
            landing: row.landing,
            early_exit: row.early_exit,
        }
    }

    fn of(report: &Report) -> Vec<Self> {
        let mut all = Vec::new();
        for row in &report.rows {
            let series = Self::of_row(row);
            if !all.contains(&series) {
                all.push(series);
            }
        }
        all
    }

    fn name(&self) -> String {
        let landing = self.landing.map(|_| "landing".to_owned());
        let exit = (self.early_exit != "off").then(|| format!("exit by {}", self.early_exit));
        let parts: Vec<String> = landing.into_iter().chain(exit).collect();
        match parts.is_empty() {
            true => "plain".to_owned(),
            false => parts.join(", "),
        }
    }
}

/// The names of a row's level and of its budget, where it has one.
fn names(row: &Row) -> [String; 2] {
    let effort = row.effort.unwrap_or("own").to_owned();
    let budget = match (row.think_tokens, row.think_share) {
        _ if !row.has_budget => String::new(),
        (_, Some(share)) => format!("{:.0} %", share * 100.0),
        (tokens, None) => tokens.map(|n| n.to_string()).unwrap_or_default(),
    };
    [effort, budget]
}

/// The top of the vertical axes, in steps of a fifth.
fn y_max(report: &Report) -> f64 {
    let best = report.rows.iter();
    let best = best.map(|row| row.ci95[1].max(majority(&[row])) + 0.05);
    ((best.fold(0.0, f64::max) * 5.0).ceil() / 5.0).clamp(0.2, 1.0)
}

/// An empty panel with its grid; the vertical axis is accuracy.
fn panel<'a, 'b>(
    area: &'a Area<'b>,
    title: &str,
    (x_max, y_max): (f64, f64),
    has_x_labels: bool,
) -> Result<Chart<'a, 'b>, Box<dyn std::error::Error>> {
    let mut builder = ChartBuilder::on(area);
    builder
        .caption(title, label(14, HPos::Left, VPos::Top))
        .margin_right(16);
    builder.y_label_area_size(48).x_label_area_size(36);
    let mut chart = builder.build_cartesian_2d(0.0..x_max, 0.0..y_max)?;
    let mut mesh = chart.configure_mesh();
    mesh.disable_x_mesh().light_line_style(TRANSPARENT);
    mesh.bold_line_style(GREY.mix(0.3)).axis_style(GREY);
    mesh.y_labels(6)
        .y_label_formatter(&|share| format!("{:.0} %", share * 100.0));
    mesh.label_style(label(12, HPos::Right, VPos::Center));
    let count = |tokens: &f64| format!("{tokens:.0}");
    match has_x_labels {
        true => mesh.x_labels(6).x_label_formatter(&count).draw()?,
        false => mesh.x_labels(0).draw()?,
    }
    Ok(chart)
}

/// Accuracy with one answer, and above it what a majority adds.
fn bars(report: &Report, series: &[Series], area: &Area<'_>) -> Drawn {
    let mut groups: Vec<[String; 2]> = Vec::new();
    for row in &report.rows {
        if !groups.contains(&names(row)) {
            groups.push(names(row));
        }
    }
    let chart = panel(
        area,
        "Accuracy",
        (groups.len() as f64, y_max(report)),
        false,
    )?;
    let width = 0.8 / series.len() as f64;
    for (x, group) in groups.iter().enumerate() {
        let x = x as f64;
        for (i, one) in series.iter().enumerate() {
            let rows = report.rows.iter();
            let rows: Vec<&Row> = rows
                .filter(|row| names(row) == *group && Series::of_row(row) == *one)
                .collect();
            let Some(base) = rows.iter().min_by_key(|row| row.votes) else {
                continue;
            };
            let from = x + 0.1 + width * i as f64;
            bar(
                &chart,
                (from + 0.05 * width, from + 0.95 * width),
                base,
                majority(&rows),
                color(i),
            )?;
        }
        let (middle, floor) = chart.backend_coord(&(x + 0.5, 0.0));
        let (left, top) = area.get_base_pixel();
        let size = if groups.len() > MANY { 9 } else { 12 };
        for (line, text) in group.iter().enumerate() {
            let at = (middle - left, floor - top + 6 + 15 * line as i32);
            let style = label(size, HPos::Center, VPos::Top);
            area.draw(&Text::new(text.clone(), at, style))?;
        }
    }
    Ok(())
}

/// The best that a majority reaches: by votes, or among the answers to each question.
fn majority(rows: &[&Row]) -> f64 {
    let shares = rows.iter().filter_map(|row| match row.votes {
        1 => row.majority_at_k.values().next_back().copied(),
        _ => Some(row.accuracy),
    });
    shares.fold(0.0, f64::max)
}

fn bar(
    chart: &Chart<'_, '_>,
    (from, to): (f64, f64),
    row: &Row,
    majority: f64,
    color: RGBColor,
) -> Drawn {
    let area = chart.plotting_area();
    let share = row.accuracy;
    area.draw(&Rectangle::new(
        [(from, 0.0), (to, share)],
        color.mix(0.75).filled(),
    ))?;
    if majority > share {
        let corners = [(from, share), (to, majority)];
        area.draw(&Rectangle::new(corners, color.mix(0.3).filled()))?;
    }
    let (middle, cap) = ((from + to) / 2.0, (to - from) / 8.0);
    whisker(
        chart,
        [(middle, row.ci95[0]), (middle, row.ci95[1])],
        (cap, 0.0),
    )?;
    let text = Text::new(
        format!("{:.0}", 100.0 * share),
        (0, -3),
        label(11, HPos::Center, VPos::Bottom),
    );
    let above = EmptyElement::at((middle, row.ci95[1].max(majority)));
    area.draw(&(above + text))?;
    Ok(())
}

/// A line with caps at its ends, which reach `cap` to both sides.
fn whisker(chart: &Chart<'_, '_>, ends: [(f64, f64); 2], cap: (f64, f64)) -> Drawn {
    let area = chart.plotting_area();
    let style = GREY.stroke_width(1);
    area.draw(&PathElement::new(ends, style))?;
    for (x, y) in ends {
        let cap = [(x - cap.0, y - cap.1), (x + cap.0, y + cap.1)];
        area.draw(&PathElement::new(cap, style))?;
    }
    Ok(())
}

/// Accuracy against mean thinking tokens; rows of a series with as many votes are joined.
fn points(report: &Report, series: &[Series], area: &Area<'_>) -> Drawn {
    let most = report
        .rows
        .iter()
        .map(|row| row.thinking_tokens_ci95[1])
        .fold(10.0, f64::max);
    let chart = panel(
        area,
        "Accuracy against thinking tokens per answer",
        (most * 1.15, y_max(report)),
        true,
    )?;
    let plane = chart.plotting_area();
    for (i, one) in series.iter().enumerate() {
        let mut rows: Vec<&Row> = report
            .rows
            .iter()
            .filter(|row| Series::of_row(row) == *one)
            .collect();
        rows.sort_by(|a, b| {
            let tokens = a.thinking_tokens_mean.total_cmp(&b.thinking_tokens_mean);
            a.votes.cmp(&b.votes).then(tokens)
        });
        for joined in rows.chunk_by(|a, b| a.votes == b.votes) {
            let line: Vec<_> = joined.iter().map(|row| point(row)).collect();
            plane.draw(&PathElement::new(line, color(i).mix(0.6).stroke_width(1)))?;
        }
        for row in rows {
            let (x, y) = point(row);
            let [low, high] = row.thinking_tokens_ci95.map(|tokens| tokens.max(0.0));
            whisker(
                &chart,
                [(x, row.ci95[0]), (x, row.ci95[1])],
                (most * 0.008, 0.0),
            )?;
            whisker(&chart, [(low, y), (high, y)], (0.0, 0.012))?;
            let fill = color(i).filled();
            match row.votes {
                1 => plane.draw(&Circle::new((x, y), 4, fill))?,
                _ => plane.draw(&TriangleMarker::new((x, y), 6, fill))?,
            }
            if i == 0 || report.rows.len() <= MANY {
                let text = names(row).join(" ").trim_end().to_owned();
                let name = Text::new(text, (6, -3), label(11, HPos::Left, VPos::Bottom));
                plane.draw(&(EmptyElement::at((x, y)) + name))?;
            }
        }
    }
    Ok(())
}

fn point(row: &Row) -> (f64, f64) {
    (row.thinking_tokens_mean, row.accuracy)
}

/// What colours, shades and marks mean, where there is more than one.
fn legend(report: &Report, series: &[Series], area: &Area<'_>) -> Drawn {
    let mut x = 48;
    let mut entry = |style: ShapeStyle, text: String| -> Drawn {
        area.draw(&Rectangle::new([(x, 6), (x + 12, 18)], style))?;
        let width = 7 * text.chars().count() as i32;
        area.draw(&Text::new(
            text,
            (x + 18, 12),
            label(12, HPos::Left, VPos::Center),
        ))?;
        x += 18 + width + 16;
        Ok(())
    };
    if series.len() > 1 {
        for (i, one) in series.iter().enumerate() {
            entry(color(i).mix(0.75).filled(), one.name())?;
        }
    }
    let votes = report.rows.iter().map(|row| row.votes).max().unwrap_or(1);
    let most = votes.max(report.samples);
    if most > 1 {
        entry(
            color(0).mix(0.3).filled(),
            format!("gained by a majority of up to {most}"),
        )?;
    }
    if votes > 1 {
        area.draw(&TriangleMarker::new((x + 6, 13), 6, GREY.filled()))?;
        let style = label(12, HPos::Left, VPos::Center);
        area.draw(&Text::new("answers that voted", (x + 18, 12), style))?;
    }
    Ok(())
}
