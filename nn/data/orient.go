package data

import (
	"bytes"
	"encoding/binary"
	"image"

	"golang.org/x/image/draw"
)

// The parts of a JPEG or PNG file and of the Exif data in it that say how a camera was held.
// Sources: JIF is ITU-T T.81, annex B; PNG's chunks are its third edition, sections 5.3 and 11.3;
// Exif 2.32, sections 4.5 and 4.6, whose data are a TIFF 6.0 file.
const (
	jpegStart       = 0xd8
	jpegScan        = 0xda // the pixels begin: no more segments that matter
	jpegApp1        = 0xe1
	exifHeader      = "Exif\x00\x00"
	pngStart        = "\x89PNG\r\n\x1a\n"
	pngExif         = "eXIf" // a chunk that is Exif data without JPEG's header
	pngFrame        = 12     // bytes of a chunk that are not its data: length, type, checksum
	tiffEntry       = 12     // bytes of an entry: tag, type, count, value
	tagOrientation  = 0x0112
	typeShort       = 3
	mostOrientation = 8
)

// orientation returns how the picture in a JPEG or PNG file lies, 1 to 8 as Exif counts them; 1, as
// it is, for files that do not say or do so in a damaged way: a picture is worth more than its
// label.
func orientation(raw []byte) int {
	if chunks, is := bytes.CutPrefix(raw, []byte(pngStart)); is {
		return pngOrientation(chunks)
	}
	if len(raw) < 2 || raw[0] != 0xff || raw[1] != jpegStart {
		return 1
	}
	for raw = raw[2:]; len(raw) >= 4 && raw[0] == 0xff && raw[1] != jpegScan; {
		if raw[1] == 0xff { // a filling byte
			raw = raw[1:]
			continue
		}
		size := 2 + int(binary.BigEndian.Uint16(raw[2:])) // with the marker
		if size < 4 || size > len(raw) {
			return 1
		}
		segment, is := bytes.CutPrefix(raw[4:size], []byte(exifHeader))
		if is && raw[1] == jpegApp1 {
			return tiffOrientation(segment)
		}
		raw = raw[size:]
	}
	return 1
}

// pngOrientation looks for Exif data among a PNG file's chunks: they may also follow the pixels. A
// checksum that does not hold makes no difference, since the decoder has refused such a file.
func pngOrientation(chunks []byte) int {
	for len(chunks) >= pngFrame {
		size := uint64(binary.BigEndian.Uint32(chunks))
		if size+pngFrame > uint64(len(chunks)) {
			return 1
		}
		if string(chunks[4:8]) == pngExif {
			return tiffOrientation(bytes.TrimPrefix(chunks[8:8+size], []byte(exifHeader)))
		}
		chunks = chunks[size+pngFrame:]
	}
	return 1
}

// tiffOrientation looks for the orientation in the first directory of a TIFF file.
func tiffOrientation(tiff []byte) int {
	if len(tiff) < 8 {
		return 1
	}
	var order binary.ByteOrder = binary.BigEndian
	switch string(tiff[:4]) {
	case "II*\x00":
		order = binary.LittleEndian
	case "MM\x00*":
	default:
		return 1
	}
	at := uint64(order.Uint32(tiff[4:]))
	if at+2 > uint64(len(tiff)) {
		return 1
	}
	entries := tiff[at+2:]
	for range order.Uint16(tiff[at:]) {
		if len(entries) < tiffEntry {
			return 1
		}
		if order.Uint16(entries) == tagOrientation {
			v := int(order.Uint16(entries[8:]))
			if order.Uint16(entries[2:]) != typeShort || v < 1 || v > mostOrientation {
				return 1
			}
			return v
		}
		entries = entries[tiffEntry:]
	}
	return 1
}

// upright returns an image stored with an orientation as it was taken:
//
//	1 as it is     2 mirrored                     3 turned by half   4 mirrored top to bottom
//	5 transposed   6 turned a quarter clockwise   7 transposed over the other diagonal
//	8 turned a quarter counterclockwise
func upright(img image.Image, orientation int) image.Image {
	if orientation <= 1 || orientation > mostOrientation {
		return img
	}
	b := img.Bounds()
	w, h := b.Dx(), b.Dy()
	src := image.NewRGBA(image.Rect(0, 0, w, h)) // one form of pixels for all
	draw.Draw(src, src.Bounds(), img, b.Min, draw.Src)
	dw, dh := w, h
	if orientation >= 5 {
		dw, dh = h, w
	}
	dst := image.NewRGBA(image.Rect(0, 0, dw, dh))
	for y := range dh {
		for x := range dw {
			sx, sy := x, y
			if orientation >= 5 {
				sx, sy = y, x
			}
			switch orientation {
			case 2, 3, 7, 8:
				sx = w - 1 - sx
			}
			switch orientation {
			case 3, 4, 6, 7:
				sy = h - 1 - sy
			}
			copy(dst.Pix[4*(y*dw+x):][:4], src.Pix[4*(sy*w+sx):][:4])
		}
	}
	return dst
}
