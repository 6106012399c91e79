"""The facts that the demo model knows: countries, their capitals and continents."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Language = Literal["en", "zh"]
LANGUAGES: tuple[Language, ...] = ("en", "zh")


@dataclass(frozen=True)
class Text:
    """The same thing said in both languages."""

    en: str
    zh: str

    def to(self, language: Language) -> str:
        return self.en if language == "en" else self.zh


@dataclass(frozen=True)
class Country:
    name: Text
    capital: Text
    continent: Text


ASIA = Text("Asia", "亚洲")
EUROPE = Text("Europe", "欧洲")
AFRICA = Text("Africa", "非洲")
NORTH_AMERICA = Text("North America", "北美洲")
SOUTH_AMERICA = Text("South America", "南美洲")
OCEANIA = Text("Oceania", "大洋洲")

# One country a line: English name, Chinese name, capital in English, capital in Chinese.
_TABLES: dict[Text, str] = {
    ASIA: """
        China|中国|Beijing|北京
        Japan|日本|Tokyo|东京
        South Korea|韩国|Seoul|首尔
        North Korea|朝鲜|Pyongyang|平壤
        India|印度|New Delhi|新德里
        Pakistan|巴基斯坦|Islamabad|伊斯兰堡
        Bangladesh|孟加拉国|Dhaka|达卡
        Nepal|尼泊尔|Kathmandu|加德满都
        Bhutan|不丹|Thimphu|廷布
        Thailand|泰国|Bangkok|曼谷
        Vietnam|越南|Hanoi|河内
        Laos|老挝|Vientiane|万象
        Cambodia|柬埔寨|Phnom Penh|金边
        Myanmar|缅甸|Naypyidaw|内比都
        Malaysia|马来西亚|Kuala Lumpur|吉隆坡
        Indonesia|印度尼西亚|Jakarta|雅加达
        the Philippines|菲律宾|Manila|马尼拉
        Mongolia|蒙古|Ulaanbaatar|乌兰巴托
        Kazakhstan|哈萨克斯坦|Astana|阿斯塔纳
        Uzbekistan|乌兹别克斯坦|Tashkent|塔什干
        Kyrgyzstan|吉尔吉斯斯坦|Bishkek|比什凯克
        Tajikistan|塔吉克斯坦|Dushanbe|杜尚别
        Turkmenistan|土库曼斯坦|Ashgabat|阿什哈巴德
        Afghanistan|阿富汗|Kabul|喀布尔
        Iran|伊朗|Tehran|德黑兰
        Iraq|伊拉克|Baghdad|巴格达
        Syria|叙利亚|Damascus|大马士革
        Lebanon|黎巴嫩|Beirut|贝鲁特
        Jordan|约旦|Amman|安曼
        Saudi Arabia|沙特阿拉伯|Riyadh|利雅得
        Yemen|也门|Sanaa|萨那
        Oman|阿曼|Muscat|马斯喀特
        Qatar|卡塔尔|Doha|多哈
        Bahrain|巴林|Manama|麦纳麦
        Turkey|土耳其|Ankara|安卡拉
        Georgia|格鲁吉亚|Tbilisi|第比利斯
        Armenia|亚美尼亚|Yerevan|埃里温
        Azerbaijan|阿塞拜疆|Baku|巴库
    """,
    EUROPE: """
        France|法国|Paris|巴黎
        Germany|德国|Berlin|柏林
        Italy|意大利|Rome|罗马
        Spain|西班牙|Madrid|马德里
        Portugal|葡萄牙|Lisbon|里斯本
        the United Kingdom|英国|London|伦敦
        Ireland|爱尔兰|Dublin|都柏林
        Belgium|比利时|Brussels|布鲁塞尔
        Austria|奥地利|Vienna|维也纳
        Switzerland|瑞士|Bern|伯尔尼
        Denmark|丹麦|Copenhagen|哥本哈根
        Sweden|瑞典|Stockholm|斯德哥尔摩
        Norway|挪威|Oslo|奥斯陆
        Finland|芬兰|Helsinki|赫尔辛基
        Iceland|冰岛|Reykjavik|雷克雅未克
        Poland|波兰|Warsaw|华沙
        Czechia|捷克|Prague|布拉格
        Slovakia|斯洛伐克|Bratislava|布拉迪斯拉发
        Hungary|匈牙利|Budapest|布达佩斯
        Romania|罗马尼亚|Bucharest|布加勒斯特
        Bulgaria|保加利亚|Sofia|索非亚
        Greece|希腊|Athens|雅典
        Serbia|塞尔维亚|Belgrade|贝尔格莱德
        Croatia|克罗地亚|Zagreb|萨格勒布
        Slovenia|斯洛文尼亚|Ljubljana|卢布尔雅那
        Albania|阿尔巴尼亚|Tirana|地拉那
        Ukraine|乌克兰|Kyiv|基辅
        Belarus|白俄罗斯|Minsk|明斯克
        Russia|俄罗斯|Moscow|莫斯科
        Lithuania|立陶宛|Vilnius|维尔纽斯
        Latvia|拉脱维亚|Riga|里加
        Estonia|爱沙尼亚|Tallinn|塔林
        Malta|马耳他|Valletta|瓦莱塔
    """,
    AFRICA: """
        Egypt|埃及|Cairo|开罗
        Libya|利比亚|Tripoli|的黎波里
        Tunisia|突尼斯|Tunis|突尼斯城
        Algeria|阿尔及利亚|Algiers|阿尔及尔
        Morocco|摩洛哥|Rabat|拉巴特
        Sudan|苏丹|Khartoum|喀土穆
        Ethiopia|埃塞俄比亚|Addis Ababa|亚的斯亚贝巴
        Eritrea|厄立特里亚|Asmara|阿斯马拉
        Somalia|索马里|Mogadishu|摩加迪沙
        Kenya|肯尼亚|Nairobi|内罗毕
        Uganda|乌干达|Kampala|坎帕拉
        Rwanda|卢旺达|Kigali|基加利
        Tanzania|坦桑尼亚|Dodoma|多多马
        Zambia|赞比亚|Lusaka|卢萨卡
        Zimbabwe|津巴布韦|Harare|哈拉雷
        Mozambique|莫桑比克|Maputo|马普托
        Madagascar|马达加斯加|Antananarivo|塔那那利佛
        Namibia|纳米比亚|Windhoek|温得和克
        Botswana|博茨瓦纳|Gaborone|哈博罗内
        Angola|安哥拉|Luanda|罗安达
        Ghana|加纳|Accra|阿克拉
        Nigeria|尼日利亚|Abuja|阿布贾
        Senegal|塞内加尔|Dakar|达喀尔
        Mali|马里|Bamako|巴马科
        Chad|乍得|N'Djamena|恩贾梅纳
        Liberia|利比里亚|Monrovia|蒙罗维亚
    """,
    NORTH_AMERICA: """
        the United States|美国|Washington|华盛顿
        Canada|加拿大|Ottawa|渥太华
        Mexico|墨西哥|Mexico City|墨西哥城
        Cuba|古巴|Havana|哈瓦那
        Jamaica|牙买加|Kingston|金斯敦
        Haiti|海地|Port-au-Prince|太子港
        Guatemala|危地马拉|Guatemala City|危地马拉城
        Honduras|洪都拉斯|Tegucigalpa|特古西加尔巴
        Nicaragua|尼加拉瓜|Managua|马那瓜
        Costa Rica|哥斯达黎加|San Jose|圣何塞
        Panama|巴拿马|Panama City|巴拿马城
    """,
    SOUTH_AMERICA: """
        Brazil|巴西|Brasilia|巴西利亚
        Argentina|阿根廷|Buenos Aires|布宜诺斯艾利斯
        Chile|智利|Santiago|圣地亚哥
        Peru|秘鲁|Lima|利马
        Colombia|哥伦比亚|Bogota|波哥大
        Venezuela|委内瑞拉|Caracas|加拉加斯
        Ecuador|厄瓜多尔|Quito|基多
        Uruguay|乌拉圭|Montevideo|蒙得维的亚
        Paraguay|巴拉圭|Asuncion|亚松森
    """,
    OCEANIA: """
        Australia|澳大利亚|Canberra|堪培拉
        New Zealand|新西兰|Wellington|惠灵顿
        Fiji|斐济|Suva|苏瓦
        Samoa|萨摩亚|Apia|阿皮亚
    """,
}


def _parse(line: str, continent: Text) -> Country:
    name_en, name_zh, capital_en, capital_zh = line.strip().split("|")
    return Country(Text(name_en, name_zh), Text(capital_en, capital_zh), continent)


COUNTRIES: tuple[Country, ...] = tuple(
    _parse(line, continent)
    for continent, table in _TABLES.items()
    for line in table.strip().splitlines()
)
