//! JPEG files as images of three channels.

use std::fs;
use std::io::Cursor;
use std::path::Path;

use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use crate::{Error, Image, Result};

/// Most pixels, against small files that claim to be enormous: no photograph of ImageNet comes near.
const MOST_PIXELS: usize = 1 << 26;

/// Reads a JPEG file: baseline or progressive; grey, YCbCr, RGB, CMYK or YCCK. A truncated or otherwise damaged file is an error, not half an image.
pub fn read(path: &Path) -> Result<Image> {
    let bytes = fs::read(path).map_err(Error::io(path))?;
    decode(&bytes).map_err(|problem| Error::Jpeg { path: path.into(), problem: on_one_line(&problem) })
}

/// What the decoder says may go over several lines, and end in an empty one.
fn on_one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn decode(bytes: &[u8]) -> std::result::Result<Image, String> {
    let options = DecoderOptions::default().jpeg_set_out_colorspace(ColorSpace::RGB).set_strict_mode(true);
    let mut decoder = JpegDecoder::new_with_options(Cursor::new(bytes), options);
    decoder.decode_headers().map_err(|error| error.to_string())?;
    let info = decoder.info().ok_or("no header")?;
    let (height, width) = (usize::from(info.height), usize::from(info.width));
    if height * width > MOST_PIXELS {
        return Err(format!("its header claims {height}x{width} pixels; at most {MOST_PIXELS} are read"));
    }
    // The decoder does not notice that the end is missing within the last row of blocks.
    if !is_ended(bytes) {
        return Err("truncated: its last scan has no end".into());
    }
    let pixels = decoder.decode().map_err(|error| error.to_string())?;
    if pixels.len() != height * width * 3 {
        return Err(format!("{} bytes of pixels for {height}x{width}", pixels.len()));
    }
    Ok(Image { height, width, channels: 3, pixels })
}

/// Whether, from marker to marker, the end of the image is reached; what follows it plays no part.
fn is_ended(bytes: &[u8]) -> bool {
    let mut rest = bytes;
    loop {
        rest = match rest {
            [0xFF, 0xD9, ..] => return true,
            [0xFF, 0xFF, ..] => &rest[1..],
            // Without a length.
            [0xFF, 0x01 | 0xD0..=0xD8, ..] => &rest[2..],
            &[0xFF, marker, high, low, ..] => {
                let len = 2 + usize::from(u16::from_be_bytes([high, low]));
                let Some(after) = rest.get(len..) else { return false };
                if marker == 0xDA { after_scan(after) } else { after }
            }
            _ => return false,
        };
    }
}

/// From the data of a scan to the marker behind it. Within, a 0 or the number of a restart follows each 0xFF.
fn after_scan(bytes: &[u8]) -> &[u8] {
    let marker = bytes.windows(2).position(|pair| pair[0] == 0xFF && !matches!(pair[1], 0 | 0xD0..=0xD7));
    marker.map_or(&[], |at| &bytes[at..])
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLOR: &[u8] = include_bytes!("../tests/fixtures/color.jpg");
    /// Where COLOR's frame header has its height and width, two bytes each.
    const SIZE_AT: usize = 163;
    const ALL: [&[u8]; 4] = [
        COLOR,
        include_bytes!("../tests/fixtures/grey.jpg"),
        include_bytes!("../tests/fixtures/progressive.jpg"),
        include_bytes!("../tests/fixtures/cmyk.jpg"),
    ];

    #[test]
    fn truncated_files_are_refused_wherever_they_end() {
        for original in ALL {
            assert!(decode(original).is_ok());
            for len in 0..original.len() {
                assert!(decode(&original[..len]).is_err(), "{len} of {} bytes", original.len());
            }
        }
    }

    #[test]
    fn what_follows_the_end_plays_no_part() {
        for original in ALL {
            let bytes = [original, &[0, 0xFF, 0xDA, 0x12, 0xFF, 0xD8]].concat();
            assert_eq!(decode(&bytes).unwrap().pixels, decode(original).unwrap().pixels);
        }
    }

    #[test]
    fn any_change_of_a_byte_gives_an_image_or_an_error() {
        for original in ALL {
            for at in 0..original.len() {
                for value in [0, 0xFF, original[at] ^ 0x10] {
                    let mut bytes = original.to_vec();
                    bytes[at] = value;
                    if let Ok(image) = decode(&bytes) {
                        assert_eq!(image.pixels.len(), image.height * image.width * image.channels);
                    }
                }
            }
        }
    }

    #[test]
    fn enormous_claims_are_refused() {
        let bytes = [&COLOR[..SIZE_AT], &[0x3F, 0xFF, 0x3F, 0xFF], &COLOR[SIZE_AT + 4..]].concat();
        assert!(decode(&bytes).unwrap_err().contains("claims 16383x16383"));
    }
}
