//! Memory of templates: packed into a file when one is made, loaded into a sealed file in memory when it is used.
//!
//! The packed form is a magic number, then runs of pages that are not all zero, each as offset and length (u64, little
//! endian) and its bytes, up to a run of length 0.

use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::path::Path;

use rustix::fs::{MemfdFlags, SealFlags, SeekFrom, fcntl_add_seals, ftruncate, memfd_create, seek};
use rustix::io::Errno;

use crate::failure::{Failure, Step};

const MAGIC: &[u8; 8] = b"ISOPODP1";
const PAGE_BYTES: usize = 4096;
/// Pages are read, and runs are written, at most this many at once.
const CHUNK_BYTES: usize = 256 * PAGE_BYTES;

/// Writes what the sparse memory file `source` holds into `target`, which must not exist, and to disk.
pub fn pack(source: &Path, target: &Path) -> Result<(), Failure> {
    let (from, to) = (source.to_string_lossy(), target.to_string_lossy());
    let memory = File::open(source).step("pack", &from)?;
    let size_bytes = memory.metadata().step("pack", &from)?.len();
    let mut packed = BufWriter::new(File::create_new(target).step("pack", &to)?);
    packed.write_all(MAGIC).step("pack", &to)?;
    let mut chunk = vec![0; CHUNK_BYTES];
    let mut position = 0;
    while position < size_bytes {
        let start = match seek(&memory, SeekFrom::Data(position)) {
            // No data up to the end.
            Err(Errno::NXIO) => break,
            found => found.step("pack", &from)?,
        };
        let end = seek(&memory, SeekFrom::Hole(start)).step("pack", &from)?;
        position = start - start % PAGE_BYTES as u64;
        while position < end {
            let length = (end - position).min(CHUNK_BYTES as u64) as usize;
            memory.read_exact_at(&mut chunk[..length], position).step("pack", &from)?;
            write_runs(&mut packed, &chunk[..length], position).step("pack", &to)?;
            position += length as u64;
        }
    }
    packed.write_all(&[0; 16]).step("pack", &to)?;
    packed.into_inner().map_err(|error| error.into_error()).step("pack", &to)?.sync_all().step("pack", &to)
}

fn write_runs(packed: &mut impl Write, data: &[u8], offset: u64) -> std::io::Result<()> {
    let is_zero = |page: &[u8]| page.iter().all(|byte| *byte == 0);
    let mut done = 0;
    while done < data.len() {
        let pages = |from: usize| data[from..].chunks(PAGE_BYTES);
        let zeroes: usize = pages(done).take_while(|page| is_zero(page)).map(<[u8]>::len).sum();
        let start = done + zeroes;
        let length: usize = pages(start).take_while(|page| !is_zero(page)).map(<[u8]>::len).sum();
        if length > 0 {
            packed.write_all(&(offset + start as u64).to_le_bytes())?;
            packed.write_all(&(length as u64).to_le_bytes())?;
            packed.write_all(&data[start..start + length])?;
        }
        done = start + length;
    }
    Ok(())
}

/// Loads packed memory into a file in memory of `size_bytes`, which nobody can change any more, prints its descriptor's
/// number, and keeps it until standard input ends: by then the caller has opened it.
pub fn load(packed: &Path, size_bytes: u64) -> Result<(), Failure> {
    let from = packed.to_string_lossy();
    let mut packed = BufReader::with_capacity(CHUNK_BYTES, File::open(packed).step("load", &from)?);
    let descriptor = memfd_create("template", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING).step("load", "memfd")?;
    ftruncate(&descriptor, size_bytes).step("load", "memfd")?;
    let memory = File::from(descriptor);
    let mut magic = [0; 8];
    packed.read_exact(&mut magic).step("load", &from)?;
    if &magic != MAGIC {
        return Err(Failure::new("load", format!("{from} is not packed memory")));
    }
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        let mut head = [[0; 8]; 2];
        packed.read_exact(head.as_flattened_mut()).step("load", &from)?;
        let [mut offset, mut left] = head.map(u64::from_le_bytes);
        if left == 0 {
            break;
        }
        if offset.checked_add(left).is_none_or(|end| end > size_bytes) {
            return Err(Failure::new("load", format!("{from} holds more memory than {size_bytes} bytes")));
        }
        while left > 0 {
            let length = left.min(CHUNK_BYTES as u64) as usize;
            packed.read_exact(&mut chunk[..length]).step("load", &from)?;
            memory.write_all_at(&chunk[..length], offset).step("load", "memfd")?;
            offset += length as u64;
            left -= length as u64;
        }
    }
    // QEMU insists on opening it for writing, and 7.2 punches holes into the file of a private mapping: the seals refuse.
    let all = SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL;
    fcntl_add_seals(&memory, all).step("load", "memfd")?;
    println!("{}", memory.as_raw_fd());
    std::io::stdin().read_to_end(&mut Vec::new()).step("load", "standard input").map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_leave_out_zero_pages_and_nothing_else() {
        let mut data = vec![0; 5 * PAGE_BYTES + 100];
        data[PAGE_BYTES + 7] = 1;
        data[2 * PAGE_BYTES] = 2;
        data[5 * PAGE_BYTES + 99] = 3;
        let mut packed = Vec::new();
        write_runs(&mut packed, &data, 1 << 20).unwrap();
        let mut rebuilt = vec![0; data.len()];
        let mut rest = packed.as_slice();
        let mut runs = 0;
        while !rest.is_empty() {
            let offset = u64::from_le_bytes(rest[..8].try_into().unwrap()) as usize - (1 << 20);
            let length = u64::from_le_bytes(rest[8..16].try_into().unwrap()) as usize;
            rebuilt[offset..offset + length].copy_from_slice(&rest[16..16 + length]);
            rest = &rest[16 + length..];
            runs += 1;
        }
        assert_eq!((runs, rebuilt), (2, data));
    }
}
