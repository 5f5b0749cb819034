"""The provinces of Viet Nam before and after 1 July 2025: 63 became 34. Data for tests.

- Which merged into which, and the 34 names: Resolution 202/2025/QH15. Compared with lists that say
  they are taken from it; its own text was not at hand.
- Codes: Decision 20/2020/QD-TTg, before it Circular 10/2016/TT-BTTTT, number the provinces by
  their names. Their lists were not at hand. Read in texts of provinces and their systems: H30
  Hậu Giang, H38 Lào Cai, H49 Quảng Ninh, H55 Thái Nguyên, H57 Huế; the others are from memory, in
  the order that these five fit.
- Codes after the mergers: Decision 09/2025/QD-TTg of 14 April 2025. A new province that is called
  as one of the old ones keeps that one's code, the codes of the others are closed; H57 is Huế's.
  All of the 23 new ones are called so.
"""

from collections.abc import Mapping

BEFORE: Mapping[str, str] = dict(
    line.split(" ", 1)
    for line in """\
H01 An Giang
H02 Bắc Giang
H03 Bắc Kạn
H04 Bạc Liêu
H05 Bắc Ninh
H06 Bà Rịa - Vũng Tàu
H07 Bến Tre
H08 Bình Định
H09 Bình Dương
H10 Bình Phước
H11 Bình Thuận
H12 Cà Mau
H13 Cần Thơ
H14 Cao Bằng
H15 Đắk Lắk
H16 Đắk Nông
H17 Đà Nẵng
H18 Điện Biên
H19 Đồng Nai
H20 Đồng Tháp
H21 Gia Lai
H22 Hà Giang
H23 Hải Dương
H24 Hải Phòng
H25 Hà Nam
H26 Hà Nội
H27 Hà Tĩnh
H28 Hòa Bình
H29 Thành phố Hồ Chí Minh
H30 Hậu Giang
H31 Hưng Yên
H32 Khánh Hòa
H33 Kiên Giang
H34 Kon Tum
H35 Lai Châu
H36 Lâm Đồng
H37 Lạng Sơn
H38 Lào Cai
H39 Long An
H40 Nam Định
H41 Nghệ An
H42 Ninh Bình
H43 Ninh Thuận
H44 Phú Thọ
H45 Phú Yên
H46 Quảng Bình
H47 Quảng Nam
H48 Quảng Ngãi
H49 Quảng Ninh
H50 Quảng Trị
H51 Sóc Trăng
H52 Sơn La
H53 Tây Ninh
H54 Thái Bình
H55 Thái Nguyên
H56 Thanh Hóa
H57 Thừa Thiên Huế
H58 Tiền Giang
H59 Trà Vinh
H60 Tuyên Quang
H61 Vĩnh Long
H62 Vĩnh Phúc
H63 Yên Bái""".splitlines()
)
MERGERS: Mapping[str, tuple[str, ...]] = {  # into -> those that ended
    "H60": ("H22",),
    "H38": ("H63",),
    "H55": ("H03",),
    "H44": ("H62", "H28"),
    "H05": ("H02",),
    "H31": ("H54",),
    "H24": ("H23",),
    "H42": ("H25", "H40"),
    "H50": ("H46",),
    "H17": ("H47",),
    "H48": ("H34",),
    "H21": ("H08",),
    "H32": ("H43",),
    "H36": ("H16", "H11"),
    "H15": ("H45",),
    "H29": ("H09", "H06"),
    "H19": ("H10",),
    "H53": ("H39",),
    "H13": ("H51", "H30"),
    "H61": ("H07", "H59"),
    "H20": ("H58",),
    "H12": ("H04",),
    "H01": ("H33",),
}
RENAMED: Mapping[str, str] = {"H57": "Thành phố Huế"}
FOLLOWED: Mapping[str, str] = {old: into for into, ended in MERGERS.items() for old in ended}
AFTER = tuple(code for code in BEFORE if code not in FOLLOWED)


def reform_file() -> str:
    """The reform as ``edocregistry agency reorganise`` reads it."""
    lines = []
    for into, ended in MERGERS.items():
        codes = ", ".join(f'"{code}"' for code in ended)
        lines.append(f'[[merge]]\ncodes = [{codes}]\ninto = "{into}"\n')
    return "\n".join(lines)
